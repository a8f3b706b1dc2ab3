package picture_test

import (
	"testing"
	"time"

	"github.com/pasteline/pasteline/internal/picture"
	"github.com/pasteline/pasteline/observe"
)

// A request or an attempt that has begun after the time of a copy was taken has no negative width.
func TestCopyBeforeTheStart(t *testing.T) {
	t.Parallel()
	var l picture.Listener
	before := time.Now().Add(-time.Hour)
	seen := observe.NewRequest("1", observe.NewListeners(&l))
	ctx := seen.RequestStart(observe.NewContext(t.Context(), seen), observe.RequestStart{Time: time.Now()})
	ctx = seen.AttemptStart(ctx, observe.AttemptStart{Number: 1, Time: time.Now()})
	got := l.Find(ctx).Copy(before)
	if got.Millis != 0 || len(got.Attempts) != 1 || got.Attempts[0].Millis != 0 {
		t.Errorf("got %v ms, attempts %+v, want 0 ms for each", got.Millis, got.Attempts)
	}
}
