package session_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/session"
)

// A survey counts up to its limit, reads the sessions that were used last, and is no use of them.
func TestSurvey(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	for i := range 5 {
		f.set(t, fmt.Sprint("u", i), map[string]any{"n": i, "text": strings.Repeat("x", 100*i)})
		f.clock.pass(time.Minute)
	}
	before := len(f.records(t))
	got, err := f.Survey(t.Context(), 100, 2)
	if err != nil || got.Count != 5 || got.More || len(got.Sample) != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	newest := got.Sample[0]
	if newest.Bytes < 400 || newest.Bytes > 600 || newest.Created.Before(got.Sample[1].Created) {
		t.Errorf("got %d bytes, created %v", newest.Bytes, newest.Created)
	}
	if values, err := newest.All(); err != nil || values["n"] != int64(4) {
		t.Errorf("got %v, %v", values, err)
	}
	if got, err = f.Survey(t.Context(), 3, 0); err != nil || got.Count != 3 || !got.More {
		t.Errorf("got %+v, %v; want the limit", got, err)
	}
	if after := len(f.records(t)); after != before {
		t.Errorf("the survey has written: %d records, then %d", before, after)
	}
	f.clock.pass(20*time.Minute + 20*time.Second)
	if n, err := f.Sweep(t.Context()); n != 5 || err != nil {
		t.Errorf("swept %d, %v; want all: a survey is no use", n, err)
	}
}
