package retry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/transaction"
)

type goldenCase struct {
	Case struct {
		Tries            int
		Outcomes         []goldenOutcome
		Retryable        []string
		Delay            float64
		DelayFactor      *float64 `json:"delay_factor"`
		LogAfterTryCount *int     `json:"log_after_try_count"`
		HighWater        int64
		Body             *string
		BodyRepeat       int             `json:"body_repeat"`
		ContentLength    json.RawMessage `json:"content_length"`
		InputError       bool            `json:"input_error"`
		ErrorsStream     *bool           `json:"errors_stream"`
	}
	Result goldenResult
}

type goldenOutcome struct {
	Raise       string
	StartBefore bool `json:"start_before"`
	Write       []string
	Read        *int
	Status      string
	Body        *[]string
	NoStart     bool `json:"no_start"`
}

type goldenResult struct {
	Calls         int
	PerCall       []map[string]string `json:"per_call"`
	Sleeps        []float64
	StartResponse []json.RawMessage `json:"start_response"`
	Body          []string
	RetryLogLines []string `json:"retry_log_lines"`
	Raised        string
}

// deliberate lists the deliberate differences from the original, by number of the case. In each,
// the original's result is checked against the reason, then the filter's.
var deliberate = map[int]struct {
	why  string
	want seen
}{
	61: {
		"a body shorter than its Content-Length is a failed request, also if the connection was " +
			"closed in an orderly way",
		seen{Calls: 0, Status: 400, Body: "Bad Request\n"},
	},
	68: {
		"the text of the answer is that of its status",
		seen{Calls: 0, Status: 400, Body: "Bad Request\n"},
	},
	70: {"the output of a failed attempt is dropped; the original sends it before that of " +
		"the next one", seen{Calls: 2, Status: 200, Try: "2", Body: "ok", Logged: []int{1}}},
	71: {
		"the header of the last, failed attempt is dropped; the original sends it with no body",
		seen{Calls: 2, Status: 503, Logged: []int{1}},
	},
	73: {"a Go handler that writes nothing answers 200", seen{Calls: 1, Status: 200}},
	74: {
		"a Go handler that writes nothing answers 200",
		seen{Calls: 2, Status: 200, Logged: []int{1}},
	},
	75: {"a response that fails before its end has not been sent, so the request is run " +
		"again", seen{Calls: 3, Status: 503, Logged: []int{1, 2}}},
	76: {"a response that fails before its end has not been sent, so the request is run " +
		"again", seen{Calls: 3, Status: 503, Logged: []int{1, 2}}},
	90: {
		"the header of the last, failed attempt is dropped",
		seen{Calls: 3, Sleeps: []float64{2, 4}, Status: 503, Logged: []int{2}},
	},
	99: {
		"the header of the last, failed attempt is dropped",
		seen{Calls: 1, Bodies: []string{"é%b=%&"}, Status: 503},
	},
	104: {
		"the header of the last, failed attempt is dropped",
		seen{Calls: 3, Bodies: []string{"&c", "&c", "&c"}, Status: 503},
	},
}

// skipped are the cases that a Go server answers before any handler: a Content-Length that is not a
// number.
var skipped = map[int]bool{62: true, 63: true}

// seen is the data that the test compares.
//
// Some things differ in all cases and are translated: an exception that leaves the original is a
// response here (503 for a transient error, else 500); the marker that an attempt finds in the
// environ of the next one is a leak and must be absent; the failure of the last attempt is always
// logged, by another message; the original reads the body in pieces whose sizes are recorded; an
// iterator to close does not exist.
type seen struct {
	Calls  int
	Bodies []string // the bodies of the attempts that have one
	Sleeps []float64
	Status int
	Try    string // the X-Try header field that reached the client
	Body   string
	Logged []int // the attempt numbers in the messages about further attempts
	Leaks  []string
}

func TestGolden(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/retry.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Cases []goldenCase }
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	if len(golden.Cases) != 105 {
		t.Fatalf("%d cases, want 105", len(golden.Cases))
	}
	for i, c := range golden.Cases {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			if skipped[i] {
				return
			}
			want := c.want(t)
			if d, ok := deliberate[i]; ok {
				if cmp.Equal(want, d.want) {
					t.Errorf("listed as a difference (%s), but the original behaves the same", d.why)
				}
				want = d.want
			}
			synctest.Test(t, func(t *testing.T) {
				if diff := cmp.Diff(want, c.run(t)); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		})
	}
}

// want translates the recording.
func (c goldenCase) want(t *testing.T) seen {
	t.Helper()
	result := c.Result
	want := seen{Calls: result.Calls, Sleeps: result.Sleeps}
	if len(want.Sleeps) == 0 {
		want.Sleeps = nil
	}
	for _, call := range result.PerCall {
		if body, ok := call["body_seen"]; ok && (body != "" || c.hasBody()) {
			want.Bodies = append(want.Bodies, body)
		}
	}
	for _, line := range result.RetryLogLines {
		if count, ok := strings.CutPrefix(line, "repoze.retry retrying, count = "); ok {
			n, err := strconv.Atoi(count)
			if err != nil {
				t.Fatal(err)
			}
			if n < result.Calls {
				want.Logged = append(want.Logged, n)
			}
		}
	}
	if len(result.StartResponse) > 0 {
		var status string
		var headers [][2]string
		if err := json.Unmarshal(result.StartResponse[0], &[]any{&status, &headers}); err != nil {
			t.Fatal(err)
		}
		want.Status = statusCode(t, status)
		for _, header := range headers {
			if header[0] == "X-Try" {
				want.Try = header[1]
			}
		}
		want.Body = strings.Join(result.Body, "")
	}
	switch result.Raised {
	case "":
	case "ConflictError", "ReadConflictError", "TransientError", "RetryException":
		if want.Status == 0 {
			want.Status = http.StatusServiceUnavailable
		}
	default:
		if want.Status == 0 {
			want.Status = http.StatusInternalServerError
		}
	}
	return want
}

func (c goldenCase) hasBody() bool {
	return c.Case.Body != nil && *c.Case.Body != "" && string(c.Case.ContentLength) != `""` &&
		string(c.Case.ContentLength) != "null"
}

func statusCode(t *testing.T, status string) int {
	t.Helper()
	code, err := strconv.Atoi(status[:3])
	if err != nil {
		t.Fatal(err)
	}
	return code
}

var (
	errKey   = errors.New("key")
	errValue = errors.New("value")
	errOther = errors.New("other")
)

func goldenError(name string) error {
	switch name {
	case "conflict", "readconflict", "transient", "zpretry":
		return fmt.Errorf("raised: %w", transaction.Transient(errors.New(name)))
	case "key":
		return errKey
	case "value":
		return errValue
	default:
		return errOther
	}
}

// request returns the request that the server would pass on for the recorded environ.
func (c goldenCase) request(ctx context.Context, t *testing.T) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", nil)
	if !c.hasBody() {
		return r
	}
	body := bytes.Repeat(latin1(*c.Case.Body), max(c.Case.BodyRepeat, 1))
	length := len(body)
	if text := string(c.Case.ContentLength); text != "" && text != `"auto"` {
		var err error
		if length, err = strconv.Atoi(strings.Trim(text, `"`)); err != nil {
			t.Fatal(err)
		}
	}
	var reader io.Reader = bytes.NewReader(body)
	switch {
	case c.Case.InputError:
		reader = failingReader{errors.New("connection reset")}
	case length > len(body):
		reader = io.MultiReader(reader, failingReader{io.ErrUnexpectedEOF})
	default:
		reader = io.LimitReader(reader, int64(length))
	}
	r.Body = io.NopCloser(reader)
	r.ContentLength = int64(length)
	return r
}

type failingReader struct{ err error }

func (f failingReader) Read([]byte) (int, error) { return 0, f.err }

func latin1(s string) []byte {
	var b []byte
	for _, r := range s {
		b = append(b, byte(r))
	}
	return b
}

func fromLatin1(p []byte) string {
	if len(p) > 1000 {
		return fmt.Sprintf("len:%d", len(p))
	}
	var b strings.Builder
	for _, c := range p {
		b.WriteRune(rune(c))
	}
	return b.String()
}

// run runs the case with the filter.
func (c goldenCase) run(t *testing.T) seen {
	t.Helper()
	var got seen
	var log logged
	config := retry.Config{
		Tries: c.Case.Tries, Delay: time.Duration(c.Case.Delay * float64(time.Second)),
		HighWater: c.Case.HighWater,
		Logger:    slog.New(&log),
	}
	if c.Case.ErrorsStream != nil && !*c.Case.ErrorsStream {
		config.Logger = nil
	}
	if c.Case.LogAfterTryCount != nil {
		config.LogAfterTryCount = *c.Case.LogAfterTryCount
	}
	if f := c.Case.DelayFactor; f != nil {
		config.DelayFactor = *f
		if *f == 0 { // as from an .ini file, where 0 does not mean the default
			config.DelayFactor = math.SmallestNonzeroFloat64
		}
	}
	if len(c.Case.Retryable) > 0 {
		config.Retryable = func(err error) bool {
			for _, name := range c.Case.Retryable {
				if errors.Is(err, goldenError(name)) {
					return true
				}
			}
			return false
		}
	}
	var last time.Time
	app := handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		if got.Calls > 0 && time.Since(last) > 0 {
			got.Sleeps = append(got.Sleeps, time.Since(last).Seconds())
		}
		defer func() { last = time.Now() }()
		o := c.Case.Outcomes[min(got.Calls, len(c.Case.Outcomes)-1)]
		got.Calls++
		if marker := r.Header.Get("Marker") + r.URL.RawQuery + r.Form.Get("marker"); marker != "" {
			got.Leaks = append(got.Leaks, marker)
		}
		r.Header.Set("Marker", "left by an attempt")
		r.URL.RawQuery = "marker=left"
		r.Form = map[string][]string{"marker": {"left"}}

		var reader io.Reader = r.Body
		if o.Read != nil {
			reader = io.LimitReader(r.Body, int64(*o.Read))
		}
		body, _ := io.ReadAll(reader) // the filter must notice an error
		if c.hasBody() {
			got.Bodies = append(got.Bodies, fromLatin1(body))
		}
		try := strconv.Itoa(got.Calls)
		status := http.StatusOK
		if o.Status != "" {
			status = statusCode(t, o.Status)
		}
		if o.StartBefore {
			w.Header().Set("X-Try", try)
			w.WriteHeader(status)
			for _, text := range o.Write {
				_, _ = io.WriteString(w, text)
			}
		}
		if o.Raise != "" {
			return goldenError(o.Raise)
		}
		if o.NoStart {
			return nil
		}
		if !o.StartBefore {
			w.Header().Set("X-Try", try)
			w.WriteHeader(status)
		}
		chunks := []string{"ok"}
		if o.Body != nil {
			chunks = *o.Body
		}
		for _, chunk := range chunks {
			if chunk == "RAISE" {
				return goldenError("conflict")
			}
			_, _ = io.WriteString(w, chunk)
		}
		return nil
	})
	recorder := httptest.NewRecorder()
	mustRetry(t, config)(app).ServeHTTP(recorder, c.request(t.Context(), t))
	got.Status, got.Try, got.Body = recorder.Code, recorder.Header().Get("X-Try"), recorder.Body.String()
	if got.Status >= 500 && got.Try == "" {
		got.Body = "" // the text of the answer differs
	}
	for _, record := range log.records {
		if record.Message == "retrying" {
			got.Logged = append(got.Logged, int(attr(record, "count").Int64()))
		}
	}
	return got
}

// logged is a [slog.Handler] that collects records.
type logged struct{ records []slog.Record }

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }
func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.records = append(l.records, r)
	return nil
}

func attr(r slog.Record, key string) (value slog.Value) {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == key {
			value = a.Value
		}
		return true
	})
	return value
}
