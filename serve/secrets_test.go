package serve_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/internal/redact/redacttest"
	"github.com/pasteline/pasteline/serve"
)

// Whatever a command prints about a file, no secret of the file is in it.
func TestCommandsShowNoSecrets(t *testing.T) {
	t.Parallel()
	for _, c := range redacttest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			ini := filepath.Join(dir, "site.ini")
			if err := os.WriteFile(ini, []byte(c.INI), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, line := range []string{
				"check INI", "check INI --all --strict", "check INI --json", "check INI --sarif",
				"check INI --all --json", "check INI --all --sarif --strict", "show INI", "show INI --json",
				"show INI --dot", "show INI --svg", "show INI --defaults",
				"show INI --server", "show INI --filter -n browserid --json", "routes INI", "routes INI --json",
				"request INI /", "recover INI",
				"migrate INI",
			} {
				args := strings.Fields(strings.ReplaceAll(line, "INI", ini))
				if strings.HasPrefix(line, "show") && slices.Contains(args, "--reveal") {
					t.Fatal("this shows secrets")
				}
				_, out, errs := run(t, "", args, myapp.Register)
				if found := c.Found(out + errs); found != "" {
					t.Errorf("serve %s shows %q:\n%s%s", line, found, out, errs)
				}
				if out+errs == "" && line != "recover INI" {
					t.Errorf("serve %s says nothing", line)
				}
			}
		})
	}
}

// Nor is one in the log, when a server starts with the file, or when it is to load it while it
// runs.
func TestServerLogsNoSecrets(t *testing.T) {
	t.Parallel()
	w := newWorkshopWith(t, myapp.Register, workshopSite, "--verbose")
	for _, c := range redacttest.Cases() {
		dir := t.TempDir()
		ini := filepath.Join(dir, "site.ini")
		for _, name := range []string{ini, w.ini} {
			if err := os.WriteFile(name, []byte(c.INI), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if said := started(t, ini); c.Found(said) != "" || said == "" {
			t.Errorf("%s: the log of a start shows %q:\n%s", c.Name, c.Found(said), said)
		}

		before := len(w.errs.String())
		w.reload <- struct{}{}
		w.wait("a reload", func() bool {
			return strings.Contains(w.errs.String()[before:],
				"reloaded")
		})
		if said := w.errs.String()[before:]; c.Found(said) != "" {
			t.Errorf("%s: the log of a reload shows %q:\n%s", c.Name, c.Found(said), said)
		}
	}
}

// started serves a file until it listens or fails, and returns all that was printed.
func started(t *testing.T, ini string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var said buffer
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		serve.Run(ctx, []string{ini, "-v"}, serve.Stdio{Out: &said, Err: &said}, myapp.Register)
	}()
	for running := true; running; {
		select {
		case <-ended:
			running = false
		case <-time.After(5 * time.Millisecond):
			running = !strings.Contains(said.String(), "serving on")
		}
	}
	cancel()
	<-ended
	return said.String()
}
