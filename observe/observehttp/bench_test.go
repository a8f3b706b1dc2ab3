package observehttp_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/observe/observehttp"
	"github.com/pasteline/pasteline/storage/memory"
)

// A deaf listener does nothing with what it is told.
type deaf struct{ story }

func (*deaf) RequestStart(ctx context.Context, _ observe.RequestStart) context.Context { return ctx }
func (*deaf) RequestEnd(context.Context, observe.RequestEnd)                           {}
func (*deaf) AttemptStart(ctx context.Context, _ observe.AttemptStart) context.Context { return ctx }
func (*deaf) AttemptEnd(context.Context, observe.AttemptEnd)                           {}
func (*deaf) Joined(context.Context, observe.Join)                                     {}
func (*deaf) CommitStart(context.Context, observe.CommitStart)                         {}
func (*deaf) CommitEnd(context.Context, observe.CommitEnd)                             {}
func (*deaf) Decided(context.Context, observe.Decision)                                {}
func (*deaf) Accessed(context.Context, observe.Access)                                 {}
func (*deaf) Conflicted(context.Context, observe.Conflict)                             {}
func (*deaf) Queued(context.Context, observe.Queue)                                    {}
func (*deaf) Grouped(context.Context, observe.Group)                                   {}

// BenchmarkPage compares a page that reads one key without listeners, with a request in the context
// but no listener, and with a listener that is told everything.
func BenchmarkPage(b *testing.B) {
	db := memory.New("bench")
	defer db.Close()
	again, err := retry.New(retry.Config{})
	if err != nil {
		b.Fatal(err)
	}
	page := again(tm.New(tm.Config{})(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bucket, err := db.Bucket(r.Context(), "pages")
		if err != nil {
			b.Error(err)
		}
		if _, err := bucket.Get([]byte("home")); err != nil {
			b.Error(err)
		}
		_, _ = w.Write([]byte("hello"))
	})))
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/", http.NoBody)
	for _, bb := range []struct {
		name string
		h    http.Handler
		r    *http.Request
	}{
		{"none", page, r},
		{"id", page, r.WithContext(observe.NewContext(b.Context(), observe.NewRequest("1", nil)))},
		{"one", observehttp.New(&deaf{})(page), r},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bb.h.ServeHTTP(httptest.NewRecorder(), bb.r)
			}
		})
	}
}
