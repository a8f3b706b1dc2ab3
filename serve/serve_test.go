package serve_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
)

// A buffer is safe for the goroutines of a server and its test.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// register adds an app that says what it was told, and tells when it is closed.
func register(closed *bool) func(*pipeline.Registry) {
	return func(r *pipeline.Registry) {
		type settings struct {
			Text string `required:"true"`
		}
		pipeline.App(r, "egg:test#say", func(b *pipeline.Build, s settings) (http.Handler, error) {
			b.OnClose(func() error {
				*closed = true
				return nil
			})
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _ = io.WriteString(w, s.Text) // the test reads it, or has gone
			}), nil
		})
	}
}

const site = `
[app:main]
use = egg:test#say
text = hello %(who)s
[server:main]
use = egg:Paste#http
port = 0
`

func writeSite(t *testing.T, text string) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	path = filepath.Join(dir, "site.ini")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, path
}

// waitFor returns the content of a file, as soon as it is there.
func waitFor(t *testing.T, name string) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		if text, err := os.ReadFile(name); err == nil {
			return strings.TrimSpace(string(text))
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s never came", name)
		}
		<-time.After(time.Millisecond)
	}
}

// A whole life in one process: start, answer, and end when the context does.
func TestRun(t *testing.T) {
	t.Parallel()
	dir, path := writeSite(t, site)
	ctx, cancel := context.WithCancel(t.Context())
	var out, errs buffer
	closed := false
	code := make(chan int, 1)
	go func() {
		code <- serve.Run(ctx, []string{
			path, "who=world", "--addr-file",
			filepath.Join(dir, "addr"),
		},
			serve.Stdio{Out: &out, Err: &errs}, register(&closed))
	}()
	addr := waitFor(t, filepath.Join(dir, "addr"))
	response, err := http.Get("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != "hello world" {
		t.Errorf("got %q, %v", body, err)
	}
	cancel()
	if got := <-code; got != serve.ExitOK {
		t.Errorf("exit code %d, want 0; %s", got, errs.String())
	}
	if !closed {
		t.Error("the pipeline was not closed")
	}
	if got, want := out.String(), "serving on http://"+addr+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Without arguments the command says which there are, where errors are read.
func TestNoArguments(t *testing.T) {
	t.Parallel()
	var out, errs buffer
	if got := serve.Run(t.Context(), nil, serve.Stdio{Out: &out, Err: &errs}); got !=
		serve.ExitUsage {
		t.Errorf("exit code %d, want %d", got, serve.ExitUsage)
	}
	if text := errs.String(); !strings.Contains(text, "serve check CONFIG") || out.String() != "" {
		t.Errorf("got %q, and %q in the output; want the list of commands", text, out.String())
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	_, path := writeSite(t, site)
	for _, tt := range []struct {
		name string
		args []string
		want int
		says string // in the standard error, or the output if the exit code is 0
	}{
		{"help", []string{"help"}, serve.ExitOK, "Usage:"},
		{"a flag for help", []string{path, "-h"}, serve.ExitOK, "Usage:"},
		{"version", []string{"version"}, serve.ExitOK, "pasteline "},
		{"an unknown flag", []string{"-x", path}, serve.ExitUsage, "-x"},
		{"a flag without its value", []string{path, "-n"}, serve.ExitUsage, "-n"},
		{
			"no assignment",
			[]string{path, "=x"},
			serve.ExitUsage,
			`want name=value after the .ini file, not "=x"`,
		},
		{"a flag behind the dashes", []string{"--", path, "-n"}, serve.ExitUsage, `not "-n"`},
		{"no file", []string{"nowhere.ini"}, serve.ExitFailed, "nowhere.ini"},
		{
			"a relative URI",
			[]string{"config:nowhere.ini"},
			serve.ExitFailed,
			"nowhere.ini: there is no such file",
		},
		{"an undefined variable", []string{path}, serve.ExitFailed, "%(who)s"},
		{"an address file that can't be", []string{
			path, "who=x", "--addr-file",
			filepath.Join(path, "addr"),
		}, serve.ExitFailed, "--addr-file: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var out, errs buffer
			closed := false
			got := serve.Run(t.Context(), tt.args, serve.Stdio{Out: &out, Err: &errs},
				register(&closed))
			if got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
			text, other := errs.String(), out.String()
			if tt.want == serve.ExitOK {
				text, other = other, text
			}
			if !strings.Contains(text, tt.says) || tt.want == serve.ExitUsage &&
				strings.Count(text, "\n") != 1 {
				t.Errorf("got %q, want one line that says %q", text, tt.says)
			}
			if tt.want != serve.ExitFailed && other != "" {
				t.Errorf("the other stream has %q", other)
			}
		})
	}
}

// What was opened is closed when something else can't be: here the port.
func TestClosedWhenListeningFails(t *testing.T) {
	t.Parallel()
	_, path := writeSite(t, strings.Replace(site, "port = 0", "host = 192.0.2.1\nport = 0", 1))
	var errs buffer
	closed := false
	if got := serve.Run(t.Context(), []string{path, "who=x"}, serve.Stdio{Err: &errs},
		register(&closed)); got != serve.ExitFailed {
		t.Errorf("exit code %d, want 1", got)
	}
	if want := path + ":7: [server:main] host = \"192.0.2.1\": this machine has no such " +
		"address"; !strings.HasPrefix(errs.String(), want) {
		t.Errorf("got %q, want %q", errs.String(), want)
	}
	if !closed {
		t.Error("the pipeline was not closed")
	}
}

// A context that is done already is a wish to end, not a fault.
func TestEndedBeforeItBegan(t *testing.T) {
	t.Parallel()
	_, path := writeSite(t, site)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var errs buffer
	closed := false
	if got := serve.Run(ctx, []string{path, "who=x"}, serve.Stdio{Err: &errs},
		register(&closed)); got != serve.ExitOK {
		t.Errorf("exit code %d, want 0; %s", got, errs.String())
	}
	if !closed {
		t.Error("the pipeline was not closed")
	}
}

func TestLoggingSection(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, section, want string }{
		{"the default", "", `level=INFO msg="shutting down`},
		{"a level", "[logging]\nlevel = warning\n", ""},
		{"more", "[logging]\nlevel = DEBUG\n", `msg="everything is closed"`},
		{"json", "[logging]\nformat = json\n", `"msg":"shutting down`},
		{
			"unknown", "[logging]\nlevel = all\nlevels = x\n",
			`site.ini:9: [logging] level = "all": want debug, info, warn or error`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir, path := writeSite(t, site+tt.section)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var errs buffer
			closed := false
			code := make(chan int, 1)
			go func() {
				code <- serve.Run(ctx, []string{
					"config:" + path + "#main", "who=x", "--addr-file",
					filepath.Join(dir, "addr"),
				},
					serve.Stdio{Err: &errs}, register(&closed))
			}()
			if tt.name == "unknown" {
				if got := <-code; got != serve.ExitFailed {
					t.Errorf("exit code %d, want 1", got)
				}
			} else {
				waitFor(t, filepath.Join(dir, "addr"))
				cancel()
				<-code
			}
			if got := errs.String(); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
