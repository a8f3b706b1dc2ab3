package respbuf_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/request/respbuf"
)

var errNo = errors.New("no")

// committer says what it is told to, and counts how often it is asked.
type committer struct {
	err   error
	asked int
	do    func()
}

func (d *committer) Commit() error {
	d.asked++
	if d.do != nil {
		d.do()
	}
	return d.err
}

func begin(t *testing.T, options respbuf.Options) (*respbuf.Writer, *httptest.ResponseRecorder) {
	t.Helper()
	recorder := httptest.NewRecorder()
	recorder.Header().Set("X-Outer", "1")
	h, ctx := respbuf.Begin(t.Context(), recorder, options)
	if result, ok := attempt.FromContext(ctx); !ok || result != h.Result() {
		t.Error("the context does not carry the result")
	}
	return h, recorder
}

func TestReleaseAndDrop(t *testing.T) {
	t.Parallel()
	for _, release := range []bool{true, false} {
		h, recorder := begin(t, respbuf.Options{})
		if h.Status() != http.StatusOK {
			t.Errorf("status %d", h.Status())
		}
		h.Header().Set("X-A", "1")
		h.WriteHeader(http.StatusAccepted)
		h.Header().Set("X-A", "2")
		if _, err := io.WriteString(h, "hello"); err != nil {
			t.Error(err)
		}
		if h.Status() != http.StatusAccepted || h.SentHeader().Get("X-A") != "1" {
			t.Errorf("status %d, header %v", h.Status(), h.Result())
		}
		if recorder.Body.Len() > 0 || recorder.Header().Get("X-A") != "" || h.Sent() {
			t.Error("something has left")
		}
		want := httptest.NewRecorder()
		want.Header().Set("X-Outer", "1")
		if release {
			want.Header().Set("X-A", "1")
			want.WriteHeader(http.StatusAccepted)
			fmt.Fprint(want, "hello")
			if err := h.Send(); err != nil {
				t.Error(err)
			}
		} else {
			h.Discard()
		}
		if recorder.Code != want.Code || recorder.Body.String() != want.Body.String() {
			t.Errorf("got %d %q", recorder.Code, recorder.Body)
		}
		if diff := cmp.Diff(want.Header(), recorder.Header()); diff != "" {
			t.Error(diff)
		}
		for _, err := range []error{h.FlushError(), second(h.Write([]byte("x"))), second(h.WriteString("x")), h.SetReadDeadline(time.Time{}), h.SetWriteDeadline(time.Time{}), h.EnableFullDuplex()} {
			if !errors.Is(err, respbuf.ErrOver) {
				t.Errorf("after the end: %v", err)
			}
		}
		h.Discard()
		if err := h.Send(); err != nil {
			t.Error(err)
		}
	}
}

func second(_ int, err error) error { return err }

func TestFlushAsksOnce(t *testing.T) {
	t.Parallel()
	h, recorder := begin(t, respbuf.Options{})
	d := &committer{}
	d.do = func() {
		h.Flush() // a hook that flushes: too early
		fmt.Fprint(h, "lo")
		if recorder.Flushed {
			t.Error("flushed before the decision")
		}
	}
	h.SetCommitter(d)
	fmt.Fprint(h, "hel")
	for range 3 {
		if err := h.FlushError(); err != nil {
			t.Error(err)
		}
	}
	fmt.Fprint(h, "!")
	if d.asked != 1 || !h.Sent() || !recorder.Flushed || recorder.Body.String() != "hello!" {
		t.Errorf("asked %d times, sent %v, %q", d.asked, h.Sent(), recorder.Body)
	}
}

func TestRefusedFlush(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(h *respbuf.Writer){
		"committer": func(h *respbuf.Writer) { h.SetCommitter(&committer{err: errNo}) },
		"outcome":   func(h *respbuf.Writer) { h.Result().Fail(errNo) },
		"panicked":  func(h *respbuf.Writer) { h.SetCommitter(&committer{do: func() { panic(errNo) }}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, recorder := begin(t, respbuf.Options{})
			prepare(h)
			fmt.Fprint(h, "hello")
			func() {
				defer func() { _ = recover() }()
				if err := h.FlushError(); !errors.Is(err, errNo) {
					t.Errorf("flush: %v", err)
				}
			}()
			for _, err := range []error{h.FlushError(), second(h.Write([]byte("x"))), h.Send()} {
				if !errors.Is(err, errNo) && !errors.Is(err, http.ErrAbortHandler) {
					t.Errorf("afterwards: %v", err)
				}
			}
			h.WriteHeader(http.StatusTeapot)
			if recorder.Flushed || recorder.Body.Len() > 0 || recorder.Code != 200 || h.Sent() {
				t.Errorf("sent %d %q", recorder.Code, recorder.Body)
			}
		})
	}
}

// What the server can't do is found out before a decision.
func TestNotSupported(t *testing.T) {
	t.Parallel()
	d := &committer{}
	h := respbuf.New(struct{ http.ResponseWriter }{httptest.NewRecorder()}, new(attempt.Result), respbuf.Options{})
	h.SetCommitter(d)
	_, _, err := h.Hijack()
	for _, err := range []error{err, h.FlushError(), h.SetReadDeadline(time.Time{}), h.SetWriteDeadline(time.Time{}), h.EnableFullDuplex()} {
		if !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("got %v", err)
		}
	}
	if d.asked != 0 {
		t.Error("decided")
	}
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	h, recorder := begin(t, respbuf.Options{Max: 10})
	if _, err := fmt.Fprint(h, "0123456789"); err != nil {
		t.Error(err)
	}
	for range 2 {
		if _, err := fmt.Fprint(h, "!"); !errors.Is(err, respbuf.ErrTooLarge) {
			t.Errorf("got %v", err)
		}
	}
	if !errors.Is(h.Result().Err(), respbuf.ErrTooLarge) {
		t.Errorf("outcome %v", h.Result().Err())
	}
	for _, err := range []error{h.FlushError(), h.Send()} {
		if !errors.Is(err, respbuf.ErrTooLarge) {
			t.Errorf("got %v", err)
		}
	}
	if recorder.Body.Len() > 0 {
		t.Errorf("sent %q", recorder.Body)
	}
}

func TestFullDisk(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()+"/missing")
	h, _ := begin(t, respbuf.Options{HighWater: -1})
	if _, err := h.Write(make([]byte, 100<<10)); err == nil || h.Result().Err() == nil {
		t.Errorf("got %v, outcome %v", err, h.Result().Err())
	}
	h.Discard()
}

func TestInvalidStatus(t *testing.T) {
	t.Parallel()
	for _, status := range []int{0, 99, 1000} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d was taken", status)
				}
			}()
			h, _ := begin(t, respbuf.Options{})
			h.WriteHeader(status)
		}()
	}
}

// finalHeaders counts the final headers, and keeps what net/http would refuse.
type finalHeaders struct {
	header  http.Header
	finals  int
	body    strings.Builder
	flushed bool
}

func (w *finalHeaders) Header() http.Header { return w.header }
func (w *finalHeaders) WriteHeader(status int) {
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.finals++
	}
}

func (w *finalHeaders) Write(p []byte) (int, error) {
	if w.finals == 0 {
		w.finals = 1
	}
	return w.body.Write(p)
}

func (w *finalHeaders) FlushError() error {
	w.flushed = true
	if w.finals == 0 {
		w.finals = 1
	}
	return nil
}

// FuzzHold calls the methods in any order: each byte of ops is one call.
func FuzzHold(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8}, true, int64(0))
	f.Add([]byte{2, 2, 5, 2, 1, 4}, false, int64(-1))
	f.Add([]byte{1, 250, 250, 250, 5, 250}, true, int64(20000))
	f.Fuzz(func(t *testing.T, ops []byte, yes bool, highWater int64) {
		dst := &finalHeaders{header: http.Header{}}
		h, _ := respbuf.Begin(t.Context(), dst, respbuf.Options{HighWater: highWater % (64 << 10)})
		d := &committer{}
		if !yes {
			d.err = errNo
		}
		h.SetCommitter(d)
		var want strings.Builder
		write := func(n int, err error, text string) {
			if n > 0 {
				want.WriteString(text[:n])
			}
			if err == nil && n < len(text) {
				t.Fatalf("short write without error")
			}
		}
		ended := false
		for i, op := range ops {
			text := strings.Repeat(string(rune('a'+i%26)), int(op)*40)
			switch op % 9 {
			case 0:
				h.Header().Set("X-"+string(rune('A'+i%26)), "v")
			case 1:
				if h.Sent() {
					continue // net/http would say superfluous
				}
				h.WriteHeader(200 + int(op)%3)
			case 2:
				n, err := h.Write([]byte(text))
				write(n, err, text)
			case 3:
				n, err := h.WriteString(text)
				write(n, err, text)
			case 4:
				n, err := h.ReadFrom(strings.NewReader(text))
				write(int(n), err, text)
			case 5:
				h.Flush()
			case 6:
				h.WriteHeader(http.StatusEarlyHints)
			case 7:
				if i%5 == 0 && !ended {
					ended = true
					if err := h.Send(); err != nil && yes {
						t.Fatal(err)
					}
				}
			case 8:
				if _, _, err := h.Hijack(); !errors.Is(err, http.ErrNotSupported) {
					t.Fatal(err)
				}
			}
		}
		if !ended {
			if err := h.Send(); err != nil && yes {
				t.Fatal(err)
			}
		}
		if dst.finals > 1 {
			t.Errorf("%d final headers", dst.finals)
		}
		if d.asked > 1 {
			t.Errorf("asked %d times", d.asked)
		}
		if !yes && d.asked > 0 {
			if dst.finals > 0 || dst.body.Len() > 0 || dst.flushed {
				t.Error("something left although it was refused")
			}
		} else if dst.body.String() != want.String() {
			t.Errorf("released %d bytes, written %d", dst.body.Len(), want.Len())
		}
	})
}
