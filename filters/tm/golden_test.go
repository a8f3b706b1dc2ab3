package tm_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/transaction"
)

func readGolden(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}

func TestGoldenCommitVeto(t *testing.T) {
	t.Parallel()
	var golden struct {
		Cases []struct {
			Status  string
			Headers [][2]string
			Veto    bool
		}
	}
	readGolden(t, "commit_veto.json", &golden)
	if len(golden.Cases) != 120 {
		t.Fatalf("%d cases, want 120", len(golden.Cases))
	}
	for _, c := range golden.Cases {
		status, header := translate(t, c.Status, c.Headers)
		if got := tm.RepozeVeto(nil, status, header); got != c.Veto {
			t.Errorf("%s %v: got %v, want %v", c.Status, c.Headers, got, c.Veto)
		}
	}
}

func translate(t *testing.T, status string, headers [][2]string) (int, http.Header) {
	t.Helper()
	code, err := strconv.Atoi(status[:3])
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	for _, h := range headers {
		header.Add(h[0], h[1])
	}
	return code, header
}

type tmCase struct {
	Case struct {
		Status   *string
		Headers  [][2]string
		Veto     string
		Doom     bool
		App      string
		Body     *[]string
		Fail     string
		AfterEnd []string `json:"after_end"`
	}
	V10 []string `json:"v1_0"`
}

// ends are the events in the translated traces: first those about the transaction, in order, then
// the client's answer.
//
// The reference is the trace of version 1.0, which commits before anything is sent; 2.2 has the
// same events, but it sends the body before the commit, which guarantee G1 forbids.
//
// Some things differ in all cases and are translated: an exception that leaves the original is an
// error that the handler returns, or a panic, and the client gets a 500 instead of nothing; the
// response is buffered until the transaction has ended; an iterator to close does not exist.
func (c tmCase) want(t *testing.T) []string {
	t.Helper()
	var events []string
	body := ""
	status := "200"
	for _, event := range c.V10 {
		switch {
		case event == "begin", strings.HasPrefix(event, "app called"),
			strings.HasPrefix(event, "txn."), strings.HasPrefix(event, "after_end"):
			events = append(events, event)
		case strings.HasPrefix(event, "start_response "):
			status = strings.Fields(event)[1]
		case strings.HasPrefix(event, "server got "):
			body += strings.TrimPrefix(event, "server got ")
		case event == "-- raised SystemExit", event == "-- raised ZeroDivisionError":
			return append(events, "panic")
		case strings.HasPrefix(event, "-- raised "):
			status, body = "500", "Internal Server Error\n"
		}
	}
	return append(events, status+" "+body)
}

// deliberate lists the deliberate differences from version 1.0 of the original.
var deliberate = []struct {
	why     string
	applies func(tmCase) bool
	change  func(want []string) []string
}{
	{
		"the commit comes after the response body, so a body that fails before its end is " +
			"not committed; in 1.0 the commit came first, in 2.2 the abort",
		func(c tmCase) bool { return c.Case.Body != nil && slices.Contains(*c.Case.Body, "RAISE") },
		func(want []string) []string {
			want[slices.Index(want, "txn.commit")] = "txn.abort"
			return want
		},
	},
	{
		"a failed commit is followed by an abort, in the transaction's own protocol, so that no " +
			"data manager keeps anything",
		func(c tmCase) bool { return c.Case.Fail == "commit" },
		func(want []string) []string {
			return slices.Insert(want, slices.Index(want, "txn.commit")+1, "txn.abort")
		},
	},
	{
		"after_end is also called if the commit, or the abort, failed: the transaction has " +
			"ended, and otherwise its callbacks would never be called",
		func(c tmCase) bool { return c.Case.Fail != "" && len(c.Case.AfterEnd) > 0 },
		func(want []string) []string {
			// cb3 is the only callback in the cases
			return slices.Insert(want, len(want)-1, "after_end cb3")
		},
	},
	{
		"a handler that sets no status answers 200, which default_commit_veto commits; in " +
			"the original the veto fails without a status",
		func(c tmCase) bool {
			return c.Case.Status == nil && c.Case.Veto == "default" &&
				c.Case.App == ""
		},
		func(want []string) []string {
			want[slices.Index(want, "txn.abort")] = "txn.commit"
			want[len(want)-1] = "200 onetwo"
			return want
		},
	},
}

func TestGoldenTraces(t *testing.T) {
	t.Parallel()
	var golden struct{ Cases []tmCase }
	readGolden(t, "tm.json", &golden)
	if len(golden.Cases) != 38 {
		t.Fatalf("%d cases, want 38", len(golden.Cases))
	}
	used := make([]bool, len(deliberate))
	for i, c := range golden.Cases {
		want := c.want(t)
		for j, d := range deliberate {
			if d.applies(c) {
				used[j] = true
				want = d.change(want)
			}
		}
		if diff := cmp.Diff(want, c.run(t)); diff != "" {
			t.Errorf("case %d: -want +got:\n%s", i, diff)
		}
	}
	for j, d := range deliberate {
		if !used[j] {
			t.Errorf("a difference that occurs in no case: %s", d.why)
		}
	}
}

// run runs the case with the filter.
func (c tmCase) run(t *testing.T) []string {
	t.Helper()
	d := &trace{}
	switch c.Case.Fail {
	case "commit":
		d.failCommit = errors.New("conflict")
	case "abort":
		d.failAbort = errors.New("value error")
	}
	config := tm.Config{Veto: tm.NoVeto}
	switch c.Case.Veto {
	case "default":
		config.Veto = tm.RepozeVeto
	case "raises":
		config.Veto = func(*http.Request, int, http.Header) bool { panic("zero division") }
	}
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		d.add("begin")
		d.add(fmt.Sprintf("app called; active=%s",
			map[bool]string{true: "True", false: "False"}[active(r.Context())]))
		join(t, r.Context(), d)
		for _, name := range c.Case.AfterEnd {
			if err := afterEnd(r.Context(), func() { d.add("after_end " + name) }); err != nil {
				t.Error(err)
			}
		}
		if c.Case.Doom {
			txn, _ := transaction.FromContext(r.Context())
			if err := txn.Doom(); err != nil {
				t.Error(err)
			}
		}
		switch c.Case.App {
		case "raise":
			return errors.New("key error")
		case "base_exception":
			panic("system exit")
		}
		if c.Case.Status != nil {
			status, header := translate(t, *c.Case.Status, c.Case.Headers)
			maps.Copy(w.Header(), header)
			w.WriteHeader(status)
		}
		chunks := []string{"one", "two"}
		if c.Case.Body != nil {
			chunks = *c.Case.Body
		}
		for _, chunk := range chunks {
			if chunk == "RAISE" {
				return errors.New("key error")
			}
			_, _ = io.WriteString(w, chunk)
		}
		return nil
	})
	panicked := true
	func() {
		defer func() {
			if panicked {
				_ = recover()
				d.add("panic")
			}
		}()
		recorder := get(t, tm.New(config)(app), "/")
		d.add(fmt.Sprintf("%d %s", recorder.Code, recorder.Body))
		panicked = false
	}()
	return d.all()
}
