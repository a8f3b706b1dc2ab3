package serve_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

// A workshop is a site in a folder that is reloaded while it runs, and what is known of the apps
// that were made for it.
type workshop struct {
	t          *testing.T
	dir, ini   string
	base       string // of its URLs
	reload     chan struct{}
	errs       buffer
	hold       chan struct{} // a request for /hold is answered when this is closed
	held       chan struct{} // gets one when such a request has come
	registered int

	mu     sync.Mutex
	events []string // what was opened, what closed
	open   int
}

const workshopSite = `
[app:main]
use = egg:test#work
text = one
[server:main]
use = egg:Paste#http
port = 0
`

// newWorkshop starts a site, which is expected to end with exit code 0.
func newWorkshop(t *testing.T, ini string, flags ...string) *workshop {
	t.Helper()
	return newWorkshopWith(t, func(*pipeline.Registry) {}, ini, flags...)
}

// newWorkshopWith starts one that has more registered.
func newWorkshopWith(t *testing.T, more func(*pipeline.Registry), ini string,
	flags ...string,
) *workshop {
	t.Helper()
	w := &workshop{
		t: t, reload: make(chan struct{}), hold: make(chan struct{}),
		held: make(chan struct{}, 1),
	}
	w.dir, w.ini = writeSite(t, ini)
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	addrFile := filepath.Join(w.dir, "addr")
	go func() {
		code <- serve.Run(ctx, append([]string{w.ini, "--addr-file", addrFile}, flags...),
			serve.Stdio{Err: &w.errs, Reload: w.reload}, w.register, more)
	}()
	t.Cleanup(func() {
		cancel()
		if got := <-code; got != serve.ExitOK {
			t.Errorf("exit code %d, want 0", got)
		}
		if w.open != 0 {
			t.Errorf("%d apps are still open", w.open)
		}
		if t.Failed() {
			t.Logf("events %q, log:\n%s", w.events, w.errs.String())
		}
	})
	w.base = "http://" + waitFor(t, addrFile)
	return w
}

func (w *workshop) note(event string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, event)
	switch {
	case strings.HasPrefix(event, "open"):
		w.open++
	case strings.HasPrefix(event, "close"):
		w.open--
	}
}

func (w *workshop) seen(event string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.events, event)
}

// wait waits until a condition holds.
func (w *workshop) wait(what string, condition func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("this never came: %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func (w *workshop) waitForLog(text string, n int) {
	w.t.Helper()
	w.wait(text, func() bool { return strings.Count(w.errs.String(), text) >= n })
}

// register adds an app that answers with its text, and can go wrong in each way.
func (w *workshop) register(r *pipeline.Registry) {
	w.registered++
	type settings struct {
		Text   string `required:"true"`
		Secret string // the name of a file, whose content is added
		Fail   string // error, or panic
		URI    string // of a database, in which requests are counted
		Close  string // an error
	}
	pipeline.App(r, "egg:test#work", func(b *pipeline.Build, s settings) (http.Handler, error) {
		if s.Secret != "" {
			text, err := b.ReadFile(s.Secret)
			if err != nil {
				return nil, &pipeline.Error{Key: "secret", Err: err}
			}
			s.Text += " " + strings.TrimSpace(string(text))
		}
		w.note("open " + s.Text)
		b.OnClose(func() error {
			w.note("close " + s.Text)
			if s.Close != "" {
				return errors.New(s.Close)
			}
			return nil
		})
		var db *storage.DB
		if s.URI != "" {
			var err error
			if db, err = b.Storage(s.URI); err != nil {
				return nil, &pipeline.Error{Key: "uri", Err: err}
			}
		}
		switch s.Fail {
		case "error":
			return nil, errors.New("no luck")
		case "panic":
			panic("no luck")
		case "wait":
			<-b.Context().Done()
			return nil, b.Context().Err()
		}
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			text := s.Text
			switch {
			case r.URL.Path == "/hold":
				w.held <- struct{}{}
				<-w.hold
				if w.seen("close " + s.Text) {
					text = "closed under my hands"
				}
			case r.URL.Path == "/stream":
				fmt.Fprintln(rw, "first")
				_ = http.NewResponseController(rw).Flush()
				<-r.Context().Done()
				text = context.Cause(r.Context()).Error()
			case db != nil:
				text += " " + count(r.Context(), db)
			}
			fmt.Fprint(rw, text)
		}), nil
	})
}

func count(ctx context.Context, db *storage.DB) (n string) {
	err := transaction.Run(ctx, func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		value, err := tx.Bucket("b").Get([]byte("n"))
		n = string(value) + "|"
		return errors.Join(err, tx.Bucket("b").Put([]byte("n"), []byte(n)))
	})
	if err != nil {
		return err.Error()
	}
	return n
}

func (w *workshop) get(path string) string {
	w.t.Helper()
	response, err := http.Get(w.base + path)
	if err != nil {
		w.t.Error(err)
		return ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		w.t.Errorf("%s: got %s, %v", path, response.Status, err)
	}
	return string(text)
}

func (w *workshop) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// one returns the site with another text.
func withText(text string) string {
	return strings.Replace(workshopSite, "text = one", "text = "+text, 1)
}

// A request that runs when the pipeline is replaced is finished by the old one, which is closed
// after that and not before. New requests go to the new one.
func TestReloadReplacesThePipeline(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, workshopSite)
	if got := w.get("/"); got != "one" {
		t.Errorf("got %q, want one", got)
	}
	held := make(chan string, 1)
	go func() { held <- w.get("/hold") }()
	<-w.held
	w.write("site.ini", withText("two"))
	w.reload <- struct{}{}
	w.waitForLog("msg=reloaded", 1)
	if got := w.get("/"); got != "two" {
		t.Errorf("after a reload: got %q, want two", got)
	}
	if w.seen("close one") {
		t.Error("the old pipeline was closed while it served a request")
	}
	w.write("site.ini", withText("three"))
	w.reload <- struct{}{}
	w.waitForLog("msg=reloaded", 2)
	// which had no requests left
	w.wait("the end of two", func() bool { return w.seen("close two") })
	close(w.hold)
	if got := <-held; got != "one" {
		t.Errorf("the request from before: got %q, want one", got)
	}
	w.wait("the end of one", func() bool { return w.seen("close one") })
	if got := w.get("/"); got != "three" {
		t.Errorf("got %q, want three", got)
	}
	if w.registered != 3 {
		t.Errorf("register was called %d times, want 3: once for each load", w.registered)
	}
}

// After a fault, of whatever kind, the old pipeline goes on, the log says why, and nothing of the
// new one stays open.
func TestReloadWithFaults(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, workshopSite)
	faulty := 0
	for _, tt := range []struct {
		name, ini string
		want      []string // of the log: faults
	}{
		{"no file", "", []string{`: there is no such file`}},
		{"syntax", "[app:main\n", []string{`site.ini:1: `}},
		{
			"an unknown setting", strings.Replace(workshopSite, "text =", "txt =", 1),
			[]string{`site.ini:4: [app:main] txt: `, `site.ini:2: [app:main] text: `},
		},
		{"a missing include", strings.Replace(workshopSite, "use = egg:test#work",
			"use = config:nowhere.ini", 1), []string{`there is no file `}},
		{
			"a factory that is not there", strings.Replace(workshopSite, "#work", "#nowhere", 1),
			[]string{`site.ini:3: [app:main] use = \"egg:test#nowhere\": `},
		},
		{
			"a factory that fails", withText("fails\nfail = error"),
			[]string{`site.ini:2: [app:main]: no luck`},
		},
		{
			"a factory that panics", withText("panics\nfail = panic"),
			[]string{`a factory panicked: no luck`},
		},
		{
			"the server", strings.Replace(workshopSite, "port = 0", "port = x", 1),
			[]string{`site.ini:7: [server:main] port = \"x\": `},
		},
		{
			"both", strings.Replace(withText("both\nfail = error"), "port = 0", "prt = 0", 1),
			[]string{`no luck`, `[server:main] prt: `},
		},
		{"no server", strings.Replace(workshopSite, "server:", "servr:", 1), []string{`server`}},
		{
			"the log", workshopSite + "[logging]\nlevel = all\n",
			[]string{`site.ini:9: [logging] level = \"all\": `},
		},
		{
			"the log and the app", withText("x\nfail = error") + "[logging]\nlevel = all\n",
			[]string{`site.ini:10: [logging] level = \"all\": `, `no luck`},
		},
	} {
		if tt.ini == "" {
			if err := os.Remove(w.ini); err != nil {
				t.Fatal(err)
			}
		} else {
			w.write("site.ini", tt.ini)
		}
		before := len(w.errs.String())
		w.reload <- struct{}{}
		faulty += len(tt.want)
		w.waitForLog("msg=\"not reloaded, the old pipeline goes on\" fault=", faulty)
		log := w.errs.String()[before:]
		for _, want := range tt.want {
			if !strings.Contains(log, want) {
				t.Errorf("%s: no %s in\n%s", tt.name, want, log)
			}
		}
		if got := strings.Count(log, "level=ERROR"); got != len(tt.want) {
			t.Errorf("%s: got %d lines, want %d:\n%s", tt.name, got, len(tt.want), log)
		}
		if got := w.get("/"); got != "one" {
			t.Errorf("%s: got %q, want one", tt.name, got)
		}
		if w.mu.Lock(); w.open != 1 {
			t.Errorf("%s: %d apps are open, want 1", tt.name, w.open)
		}
		w.mu.Unlock()
	}
	if log := w.errs.String(); !strings.Contains(log, "reload_test.go") {
		t.Error("the stack of the panic is not in the log")
	}
	w.write("site.ini", withText("mended"))
	w.reload <- struct{}{}
	w.waitForLog("msg=reloaded", 1)
	if got := w.get("/"); got != "mended" {
		t.Errorf("got %q, want mended", got)
	}
}

// What a changed [server:] section says can't be done while the server runs. The log names each
// setting.
func TestReloadNamesWhatNeedsARestart(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, workshopSite+"idle_timeout = 10s\n")
	w.write("site.ini", strings.Replace(withText("two"), "port = 0",
		"host = localhost\nport = 8081", 1))
	for n := range 2 { // as long as it is so
		w.reload <- struct{}{}
		w.waitForLog("msg=reloaded", n+1)
		for _, want := range []string{
			`site.ini:7: [server:main] host: the server runs without it until it is restarted`,
			`site.ini:8: [server:main] port: the server runs with \"0\" until it is restarted, ` +
				`and then with \"8081\"`,
			`site.ini:5: [server:main] idle_timeout: it is gone, but the server runs with ` +
				`\"10s\" until it is restarted`,
		} {
			if got := strings.Count(w.errs.String(),
				`level=WARN msg="needs a restart" setting="`+w.dir+"/"+want+`"`); got != n+1 {
				t.Errorf("reload %d: got it %d times: %s", n+1, got, want)
			}
		}
	}
	if got := w.get("/"); got != "two" {
		t.Errorf("got %q, want two: all else has been reloaded", got)
	}
	w.write("site.ini", strings.Replace(withText("three"), "egg:Paste#http",
		"egg:waitress\nhost = 127.0.0.1", 1)+"idle_timeout = 10s\n")
	w.reload <- struct{}{}
	w.waitForLog("not reloaded", 1) // Waitress calls it channel_timeout
	w.write("site.ini", strings.Replace(withText("three"), "egg:Paste#http", "egg:waitress", 1))
	w.reload <- struct{}{}
	w.waitForLog("the server is egg:Paste#http until it is restarted, and then egg:waitress#main",
		1)
}

// The log's settings are reloaded too.
func TestReloadTheLog(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, workshopSite+"[logging]\nlevel = error\n")
	w.write("site.ini", withText("two")+"[logging]\nlevel = info\n")
	w.reload <- struct{}{}
	w.waitForLog("msg=reloaded", 1)
}

// A log file that was renamed is left, whatever comes of the load: it fails, or does not end.
func TestLogsAreOpenedAnewFirst(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("an open file can't be renamed there")
	}
	const logging = "[logging]\noutput = site.log\n"
	w := newWorkshop(t, workshopSite+logging)
	at := filepath.Join(filepath.Dir(w.ini), "site.log")
	for i, ini := range []string{
		"[app:main\n", withText("x\nfail = error") + logging, withText("x\nfail = panic") + logging,
		workshopSite + logging + "level = all\n", workshopSite +
			"[logging]\noutput = nowhere/site.log\n",
	} {
		old := fmt.Sprintf("%s.%d", at, i)
		if err := os.Rename(at, old); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(old)
		if err != nil {
			t.Fatal(err)
		}
		w.write("site.ini", ini)
		w.reload <- struct{}{}
		w.wait("the new file says that the load failed", func() bool {
			text, err := os.ReadFile(at)
			return err == nil && strings.Contains(string(text), "not reloaded")
		})
		if after, err := os.ReadFile(old); err != nil || string(after) != string(before) {
			t.Errorf("%q: the old file was written to: %s", ini, after)
		}
	}
}

// A database that both name stays open.
func TestReloadKeepsDatabases(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, withText("one\nuri = bolt://%(here)s/data.db")+"[DEFAULT]\nx = 1\n")
	if got := w.get("/"); got != "one |" {
		t.Errorf("got %q, want one |", got)
	}
	for n, text := range []string{"two", "three"} {
		w.write("site.ini", withText(text+"\nuri = bolt://%(here)s/data.db"))
		w.reload <- struct{}{}
		w.waitForLog("msg=reloaded", n+1)
		if got, want := w.get("/"), text+" "+strings.Repeat("|", n+2); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	w.write("site.ini", withText("four\nuri = bolt://%(here)s/data.db?mmap_size=1GiB"))
	w.reload <- struct{}{}
	w.waitForLog("already open with other options (none): write the same options wherever it is "+
		"named, and restart the program to change them", 1)
	w.write("site.ini", withText("five"))
	w.reload <- struct{}{}
	w.waitForLog("msg=reloaded", 3)
	w.wait("the end of three", func() bool { return w.seen("close three") })
	// nobody has it open by now
	w.write("site.ini", withText("six\nuri = bolt://%(here)s/data.db?mmap_size=1GiB"))
	w.reload <- struct{}{}
	w.waitForLog("msg=reloaded", 4)
	if got := w.get("/"); got != "six ||||" {
		t.Errorf("got %q, want six ||||", got)
	}
}

// A stream does not keep the old pipeline for ever.
func TestReloadEndsStreams(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, workshopSite, "--reload-grace", "1ms")
	stream, err := http.Get(w.base + "/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Body.Close()
	w.write("site.ini", withText("two"))
	w.reload <- struct{}{}
	text, err := io.ReadAll(stream.Body)
	if want := "first\nthe pipeline has been replaced, and the time for its last requests is " +
		"over"; err != nil || string(text) != want {
		t.Errorf("got %q, %v, want %q and a proper end", text, err, want)
	}
	w.wait("the end of one", func() bool { return w.seen("close one") })
}

// With --reload nobody has to ask: all files are watched, also those of a load that failed.
func TestReloadWatches(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, workshopSite, "--reload", "--reload-interval", "8ms", "-v", "name=value")
	w.waitForLog("watching", 1)
	answers := func(want string) {
		t.Helper()
		w.wait(want, func() bool { return w.get("/") == want })
	}
	answers("one")
	w.write("site.ini", withText("two"))
	answers("two")

	w.write("part.ini", "[app:main]\nuse = egg:test#work\ntext = three\n")
	w.write("site.ini", strings.Replace(workshopSite, "use = egg:test#work\ntext = one",
		"use = config:part.ini", 1))
	answers("three")
	w.write("part.ini", "[app:main]\nuse = egg:test#work\ntext = four\nsecret "+
		"= "+filepath.Join(w.dir, "secret")+"\n")
	w.waitForLog("[app:main] secret", 1)
	answers("three")
	w.write("secret", "s1")
	answers("four s1")
	w.write("secret", "s2")
	answers("four s2")

	w.write("part.ini", "[app:main]\nuse = egg:test#nowhere\n")
	w.waitForLog("egg:test#nowhere", 1)
	answers("four s2")
	w.write("part.ini", "[app:main]\nuse = egg:test#work\ntext = five\n")
	answers("five")

	if err := os.Remove(w.ini); err != nil {
		t.Fatal(err)
	}
	w.waitForLog("there is no such file", 1)
	answers("five")
	w.write("site.ini", withText("six"))
	answers("six")
	w.reload <- struct{}{} // also possible
	answers("six")
}

// A load that hangs does not keep the server from ending.
func TestEndWhileItReloads(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, workshopSite)
	w.write("site.ini", withText("two\nfail = wait"))
	w.reload <- struct{}{}
	w.wait("the load", func() bool { return w.seen("open two") })
}

// Nobody asks any more.
func TestReloadChannelIsClosed(t *testing.T) {
	t.Parallel()
	w := newWorkshop(t, workshopSite)
	close(w.reload)
	if got := w.get("/"); got != "one" {
		t.Errorf("got %q, want one", got)
	}
	if w.seen("close one") {
		t.Error("it was reloaded")
	}
}

func TestReloadFlags(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ args, want string }{
		{"site.ini --reload-interval 0", "want a time above 0, such as 500ms, 2s or 2"},
		{"site.ini --reload-grace -1s", "want a time above 0"},
		{"site.ini --reload-grace soon", "want a time above 0"},
		{"egg:test#work --reload", "--reload needs a file, not egg:test#work"},
	} {
		var errs buffer
		if got := serve.Run(t.Context(), strings.Fields(tt.args), serve.Stdio{Err: &errs}); got !=
			serve.ExitUsage || !strings.Contains(errs.String(), tt.want) {
			t.Errorf("%s: exit code %d, %q, want 2 and %q", tt.args, got, errs.String(), tt.want)
		}
	}
}

// Files of a form that an app has parsed are removed by the server, also behind filters and
// composites that pass on a copy of the request.
func TestFilesOfFormsAreRemoved(t *testing.T) {
	t.Parallel()
	var sent []*multipart.FileHeader // one a request
	register := func(r *pipeline.Registry) {
		pipeline.App(r, "egg:test#upload", func(*pipeline.Build, struct{}) (http.Handler, error) {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for _, file := range sent {
					if f, err := file.Open(); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("got the file of an earlier request (%v), want none", err)
						if err == nil {
							_ = f.Close()
						}
					}
				}
				if err := r.ParseMultipartForm(1); err != nil {
					t.Error(err)
					return
				}
				sent = append(sent, r.MultipartForm.File["f"]...)
				if r.Header.Get("First") != "" {
					http.NotFound(w, r)
				}
			}), nil
		})
	}
	const site = `
[pipeline:main]
pipeline = browserid config prefix map
[filter:browserid]
use = egg:pasteline#browserid
secret_key = 0123456789abcdef0123456789abcdef
[filter:config]
use = egg:pasteline#config
[filter:prefix]
use = egg:PasteDeploy#prefix
prefix = /site
trusted_proxies = 127.0.0.1
[composite:map]
use = egg:Paste#urlmap
/a/b = cascade
[composite:cascade]
use = egg:Paste#cascade
app1 = upload
app2 = upload
[app:upload]
use = egg:test#upload
[server:main]
use = egg:waitress#main
port = 0
trusted_proxy = 127.0.0.1
trusted_proxy_headers = x-forwarded-host
`
	_, ini := writeSite(t, site)
	addrFile := ini + ".addr"
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	var errs buffer
	go func() {
		code <- serve.Run(ctx, []string{ini, "--addr-file", addrFile},
			serve.Stdio{Err: &errs}, register)
	}()
	defer func() {
		cancel()
		if got := <-code; got != serve.ExitOK {
			t.Errorf("exit code %d, want 0\n%s", got, errs.String())
		}
	}()
	base := "http://" + waitFor(t, addrFile)
	const body = "--x\r\nContent-Disposition: form-data; name=f; " +
		"filename=f\r\n\r\ncontent\r\n--x--\r\n"
	const requests = 3
	for i := range requests { // on one connection, so the server has done with one before the next
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/a//b/x",
			strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "multipart/form-data; boundary=x")
		r.Header.Set("X-Forwarded-Host", "site.example")
		if i == 0 {
			r.Header.Set("First", "not found")
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Error(err)
		}
		_ = response.Body.Close()
	}
	// the second app of the cascade has the first one, too
	if got, want := len(sent), requests+1; got != want {
		t.Errorf("got %d files, want %d", got, want)
	}
}
