//go:build unix

package bolt_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/bolt"
	"github.com/pasteline/pasteline/transaction"
)

// Some tests need a second process: this test binary, in a mode that an environment variable names.
const childVar = "STORAGE_BOLT_TEST_CHILD"

func TestMain(m *testing.M) {
	children := map[string]func(path string) error{
		"hold":     childHold,
		"commit":   childCommit,
		"fulldisk": childFullDisk,
		"readonly": childReadOnly,
		"limited":  childLimited,
	}
	mode, path, _ := strings.Cut(os.Getenv(childVar), ":")
	if child := children[mode]; child != nil {
		if err := child(path); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A process is a child that communicates with the test by lines on its standard input and output.
type process struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stdout *bufio.Reader
}

func start(tb testing.TB, mode, path string) *process {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"="+mode+":"+path)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	return &process{cmd, stdin, bufio.NewReader(stdout)}
}

// run runs a child to its end, and returns what it printed.
func run(tb testing.TB, mode, path string) string {
	tb.Helper()
	p := start(tb, mode, path)
	output, err := io.ReadAll(p.stdout)
	if err := errors.Join(err, p.cmd.Wait()); err != nil {
		tb.Fatalf("child %s: %v\n%s", mode, err, output)
	}
	return string(output)
}

// childHold keeps the database open until its standard input ends.
func childHold(path string) error {
	db, err := bolt.Open(path, nil)
	if err != nil {
		return err
	}
	fmt.Println("open")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return db.Close()
}

func TestInUseByAnotherProcess(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	p := start(t, "hold", path)
	if line, err := p.stdout.ReadString('\n'); line != "open\n" {
		t.Fatalf("child: %q, %v", line, err)
	}
	_, err := bolt.Open(path, &bolt.Options{LockTimeout: time.Millisecond})
	if !errors.Is(err, storage.ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v, want ErrInUse with the path", err)
	}
	p.stdin.Close()
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("child: %v", err)
	}
	mustPut(t, mustOpen(t, path), "k", "v")
}

const killClients = 8

// childCommit increments a key in two buckets for each of several clients, and prints each
// acknowledged commit, until it is killed.
func childCommit(path string) error {
	db, err := bolt.Open(path, nil)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	for client := range killClients {
		group.Go(func() {
			for n := uint64(1); ; n++ {
				value := binary.BigEndian.AppendUint64(make([]byte, 0, 600), n)
				value = value[:8+rand.N(500)] // of all sizes, so that pages split
				err := transaction.Run(context.Background(), func(ctx context.Context) error {
					tx, err := db.Tx(ctx)
					if err != nil {
						return err
					}
					key := []byte(strconv.Itoa(client))
					return errors.Join(tx.Bucket("b").Put(key, value), tx.Bucket("other").Put(key, value))
				})
				if err != nil {
					fmt.Println("error:", err)
					return
				}
				mu.Lock()
				fmt.Println(client, n)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return nil
}

// After kill -9 the file has all acknowledged commits and at most one more of each client, each of
// them in both buckets or in none.
func TestKill(t *testing.T) {
	t.Parallel()
	for range 4 {
		path := tempFile(t)
		p := start(t, "commit", path)
		acknowledged := map[string]uint64{}
		for lines := 0; ; lines++ {
			line, err := p.stdout.ReadString('\n')
			if err != nil {
				break
			}
			client, n, _ := strings.Cut(strings.TrimSpace(line), " ")
			if acknowledged[client], err = strconv.ParseUint(n, 10, 64); err != nil {
				t.Fatalf("child: %q", line)
			}
			if lines == 200 { // commits are running
				if err := p.cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = p.cmd.Wait()
		db := open(t, path)
		for client := range killClients {
			key := strconv.Itoa(client)
			var stored uint64
			if value := get(t, db, key); value != nil {
				stored = binary.BigEndian.Uint64(value)
			}
			if want := acknowledged[key]; stored < want || stored > want+1 {
				t.Errorf("client %d: %d were acknowledged, found %d", client, want, stored)
			}
			err := transaction.Run(t.Context(), func(ctx context.Context) error {
				tx, err := db.Tx(ctx)
				if err != nil {
					return err
				}
				one, err1 := tx.Bucket("b").Get([]byte(key))
				two, err2 := tx.Bucket("other").Get([]byte(key))
				if !bytes.Equal(one, two) {
					t.Errorf("client %d: half of a commit is stored: %x and %x", client, one, two)
				}
				return errors.Join(err1, err2)
			})
			if err != nil {
				t.Error(err)
			}
		}
		closeDB(t, db)
		checkFile(t, path)
	}
}

// childFullDisk fills the file up to a limit that it has set, and then raises the limit.
func childFullDisk(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	db, err := bolt.Open(path, nil)
	if err != nil {
		return err
	}
	value := make([]byte, 100<<10)
	if err := put(db, "before", value); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	unlimited := limit.Cur
	limit.Cur = uint64(info.Size()) + 1<<20
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	n := 0
	for ; ; n++ {
		if err = put(db, "n"+strconv.Itoa(n), value); err != nil {
			break
		}
		if n > 10000 {
			return errors.New("the disk is never full")
		}
	}
	fmt.Println("full after", n, "with:", err)
	for range 3 {
		// A long value, because free pages may have room for a short one.
		if err := put(db, "more", make([]byte, 8<<20)); err == nil {
			return errors.New("room again, for no reason")
		}
	}
	fmt.Println("lost:", lost(db, n))
	limit.Cur = unlimited
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	for i := range 20 {
		if err := put(db, "n"+strconv.Itoa(n+i), value); err != nil {
			return fmt.Errorf("with room again: %w", err)
		}
	}
	fmt.Println("lost:", lost(db, n+20))
	return db.Close()
}

func lost(db *storage.DB, n int) (lost []string) {
	for i := range n + 1 {
		key := "n" + strconv.Itoa(i)
		if i == n {
			key = "before"
		}
		if value, err := fetch(db, key); err != nil || len(value) != 100<<10 {
			lost = append(lost, fmt.Sprint(key, err))
		}
	}
	return lost
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	output := run(t, "fulldisk", path)
	if !strings.Contains(output, "nothing was committed") || strings.Count(output, "lost: []") != 2 {
		t.Errorf("got:\n%s", output)
	}
	t.Log(output)
	checkFile(t, path)
	if got := get(t, mustOpen(t, path), "before"); len(got) != 100<<10 {
		t.Errorf("reopened: got %d bytes", len(got))
	}
}

// childReadOnly prints the errors of opening files that its user may not write. It gives up root's
// rights first.
func childReadOnly(dir string) error {
	if os.Geteuid() == 0 {
		if err := syscall.Setuid(65534); err != nil {
			return err
		}
	}
	for _, path := range []string{"file.db", "new.db"} {
		_, err := bolt.Open(filepath.Join(dir, path), nil)
		fmt.Println(err)
	}
	return nil
}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "readonly") //nolint:usetesting // t.TempDir's parent lets only its owner in
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o700); os.RemoveAll(dir) })
	path := filepath.Join(dir, "file.db")
	closeDB(t, open(t, path))
	if err := errors.Join(os.Chmod(path, 0o444), os.Chmod(dir, 0o555)); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(run(t, "readonly", dir)), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %q, want two lines", lines)
	}
	for i, name := range []string{"file.db", "new.db"} {
		if !strings.Contains(lines[i], name) || !strings.Contains(lines[i], "permission denied") || !strings.Contains(lines[i], "must be writable") {
			t.Errorf("%s: got %q", name, lines[i])
		}
	}
}

// childLimited limits its address space, prints the error of opening a file, and opens it with the
// option that the error names.
func childLimited(path string) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		return err
	}
	limit.Cur = 8 << 30
	if err := syscall.Setrlimit(syscall.RLIMIT_AS, &limit); err != nil {
		return err
	}
	_, err := bolt.Open(path, nil)
	fmt.Println(err)
	db, err := bolt.Open(path, &bolt.Options{MmapSize: 256 << 20})
	if err != nil {
		return err
	}
	return errors.Join(put(db, "k", []byte("v")), db.Close())
}

func TestLimitedAddressSpace(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux keeps RLIMIT_AS")
	}
	if got := run(t, "limited", tempFile(t)); !strings.Contains(got, "cannot allocate memory") || !strings.Contains(got, "?mmap_size=256MiB") {
		t.Errorf("got %q", got)
	}
}
