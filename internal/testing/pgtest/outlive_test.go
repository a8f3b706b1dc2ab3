//go:build unix

package pgtest_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	osexec "os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
)

// This test runs itself as another process, which is killed while it has two servers. (Package
// testserver tests other ways to end, with a simple server.)
func TestNothingOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	if os.Getenv("PGTEST_CHILD") != "" {
		fmt.Printf("\nservers %s %s\n", pgtest.Database(t), pgtest.Start(t).URI("postgres"))
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	pgtest.Database(t) // skips, if there is no server
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := osexec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "PGTEST_CHILD=1")
	if _, err := cmd.StdinPipe(); err != nil { // open as long as this process lives
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var uris [2]string
	for lines := bufio.NewScanner(stdout); uris[1] == ""; {
		if !lines.Scan() {
			t.Fatalf("the other process says nothing of its servers: %v", lines.Err())
		}
		_, _ = fmt.Sscanf(lines.Text(), "servers %s %s", &uris[0], &uris[1])
	}
	var dirs []string
	cut := make(chan error, len(uris))
	for _, uri := range uris {
		conn := connect(t, uri)
		dirs = append(dirs, filepath.Dir(ask[string](t, conn, `SHOW data_directory`)))
		go func() {
			_, err := conn.Exec(t.Context(), `SELECT pg_sleep(1000)`)
			cut <- err
		}()
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for range uris {
		if err := <-cut; err == nil {
			t.Error("slept to the end, want that the server ends")
		}
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for _, dir := range dirs {
		for _, err := os.Stat(dir); err == nil; _, err = os.Stat(dir) {
			<-tick.C
		}
	}
}
