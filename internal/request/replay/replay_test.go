package replay_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pasteline/pasteline/internal/attempt"
	"github.com/pasteline/pasteline/internal/request/replay"
)

func body(r io.Reader, options replay.Options) *replay.Body {
	return replay.New(io.NopCloser(r), options)
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEachAttemptReadsTheSame(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 1000, 20000, 300000} {
		for _, highWater := range []int64{0, -1, 20000} {
			t.Run(fmt.Sprintf("size=%d/highwater=%d", size, highWater), func(t *testing.T) {
				t.Parallel()
				want := strings.Repeat("0123456789", size/10+1)[:size]
				b := body(iotest.HalfReader(strings.NewReader(want)), replay.Options{HighWater: highWater})
				defer b.Close()
				var result attempt.Result
				first := b.Attempt(&result, false) // reads some
				if n, err := io.CopyN(io.Discard, first, int64(size/3)); err != nil {
					t.Fatalf("%d, %v", n, err)
				}
				second := b.Attempt(&result, false) // nothing
				if _, err := first.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
					t.Errorf("a detached body: %v", err)
				}
				if n, err := second.Read(nil); n != 0 || err != nil {
					t.Errorf("empty read: %d, %v", n, err)
				}
				if err := second.Close(); err != nil {
					t.Error(err)
				}
				if _, err := second.Read(make([]byte, 1)); !errors.Is(err, http.ErrBodyReadAfterClose) {
					t.Errorf("a closed body: %v", err)
				}
				for i := range 3 { // all
					if readAll(t, b.Attempt(&result, i == 2)) != want {
						t.Error("other bytes")
					}
				}
				if result.Err() != nil {
					t.Error(result.Err())
				}
			})
		}
	}
}

func TestFailingSource(t *testing.T) {
	t.Parallel()
	reset := errors.New("connection reset")
	tests := []struct {
		name    string
		source  io.Reader
		options replay.Options
		text    string
		err     error // nil: an http.MaxBytesError
		status  int
	}{
		{"short", io.MultiReader(strings.NewReader("short"), iotest.ErrReader(io.ErrUnexpectedEOF)), replay.Options{}, "short", io.ErrUnexpectedEOF, 400},
		{"reset", iotest.DataErrReader(io.MultiReader(strings.NewReader("some"), iotest.ErrReader(reset))), replay.Options{}, "some", reset, 400},
		{"too large", strings.NewReader("0123456789+"), replay.Options{Max: 10}, "0123456789", nil, 413},
		{"too large for others", iotest.ErrReader(&http.MaxBytesError{Limit: 7}), replay.Options{}, "", nil, 413},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := body(tt.source, tt.options)
			defer b.Close()
			for try := range 2 { // the second has it from the record
				var result attempt.Result
				text, err := io.ReadAll(b.Attempt(&result, try == 1))
				if string(text) != tt.text {
					t.Errorf("text %q, want %q", text, tt.text)
				}
				_, tooLarge := errors.AsType[*http.MaxBytesError](err)
				if tt.err == nil && !tooLarge || tt.err != nil && !errors.Is(err, tt.err) {
					t.Errorf("error %v, want %v", err, tt.err)
				}
				if result.Err() == nil || attempt.Status(result.Err()) != tt.status {
					t.Errorf("outcome %v, want status %d", result.Err(), tt.status)
				}
			}
		})
	}
}

func TestExactlyTheLimit(t *testing.T) {
	t.Parallel()
	b := body(strings.NewReader("0123456789"), replay.Options{Max: 10})
	defer b.Close()
	var result attempt.Result
	if got := readAll(t, b.Attempt(&result, true)); got != "0123456789" || result.Err() != nil {
		t.Errorf("got %q, %v", got, result.Err())
	}
}

// What can't be recorded can't be read again, so it is not read once either.
func TestFullDisk(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()+"/missing")
	b := body(strings.NewReader(strings.Repeat("x", 100<<10)), replay.Options{HighWater: -1})
	defer b.Close()
	var result attempt.Result
	if _, err := io.ReadAll(b.Attempt(&result, false)); err == nil || attempt.Status(result.Err()) != 500 {
		t.Errorf("read %v, outcome %v", err, result.Err())
	}
}

// blocking is a source that gives one piece each time it is told to.
type blocking struct {
	reading chan struct{} // a read has begun
	pieces  chan string
}

func (b *blocking) Read(p []byte) (int, error) {
	b.reading <- struct{}{}
	piece, ok := <-b.pieces
	if !ok {
		return 0, io.EOF
	}
	return copy(p, piece), nil
}

// A goroutine that an attempt has left behind, in the middle of a read, takes nothing from the next attempt.
func TestLeftOverReader(t *testing.T) {
	t.Parallel()
	source := &blocking{make(chan struct{}), make(chan string)}
	b := body(source, replay.Options{})
	var result attempt.Result
	first := b.Attempt(&result, false)
	stray := make(chan error)
	go func() {
		n, err := first.Read(make([]byte, 100))
		if n != 0 {
			err = fmt.Errorf("got %d bytes", n)
		}
		stray <- err
	}()
	<-source.reading
	second := b.Attempt(&result, true)
	got := make(chan string)
	go func() {
		text, _ := io.ReadAll(second)
		got <- string(text)
	}()
	source.pieces <- "hello, "
	if err := <-stray; !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("the left over reader: %v", err)
	}
	<-source.reading
	source.pieces <- "world"
	<-source.reading
	close(source.pieces)
	if text := <-got; text != "hello, world" {
		t.Errorf("got %q", text)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// Close does not wait for a reader that waits for the client.
func TestCloseWhileReading(t *testing.T) {
	t.Parallel()
	source := &blocking{make(chan struct{}), make(chan string)}
	b := body(source, replay.Options{})
	var result attempt.Result
	r := b.Attempt(&result, false)
	done := make(chan error)
	go func() {
		_, err := r.Read(make([]byte, 10))
		done <- err
	}()
	<-source.reading
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	source.pieces <- "late"
	if err := <-done; !errors.Is(err, http.ErrBodyReadAfterClose) {
		t.Errorf("got %v", err)
	}
}

// FuzzReplay reads bodies in any pattern: each byte of ops is one step.
func FuzzReplay(f *testing.F) {
	f.Add(uint16(11), int64(0), []byte{3, 255, 200, 0, 255, 250})
	f.Add(uint16(40000), int64(-1), []byte{240, 240, 255, 241, 255, 254})
	f.Add(uint16(0), int64(5), []byte{1, 254, 1})
	f.Fuzz(func(t *testing.T, size uint16, highWater int64, ops []byte) {
		want := make([]byte, size)
		for i := range want {
			want[i] = byte(i * 7 >> (i % 3)) // no two chunks alike
		}
		b := body(bytes.NewReader(want), replay.Options{HighWater: highWater % (64 << 10)})
		defer b.Close()
		var result attempt.Result
		r := b.Attempt(&result, false)
		var got []byte
		check := func() {
			if !bytes.Equal(got, want[:len(got)]) {
				t.Fatalf("read other bytes than were sent, in the first %d", len(got))
			}
		}
		for _, op := range ops {
			if op == 255 { // next attempt
				check()
				r, got = b.Attempt(&result, false), nil
				continue
			}
			p := make([]byte, int(op)*int(op)) // up to 64 kB
			n, err := r.Read(p)
			got = append(got, p[:n]...)
			if err != nil && !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			if errors.Is(err, io.EOF) && len(got) != len(want) {
				t.Fatalf("end after %d bytes of %d", len(got), len(want))
			}
		}
		check()
		last, err := io.ReadAll(b.Attempt(&result, true))
		if err != nil || !bytes.Equal(last, want) {
			t.Fatalf("the last attempt read %d bytes, %v, want %d", len(last), err, len(want))
		}
		if result.Err() != nil {
			t.Fatal(result.Err())
		}
	})
}
