package browserid_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/internal/visitor"
	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// serve sends r through a filter in front of app, and returns the id in the new cookie, or "".
func serve(t *testing.T, c browserid.Config, r *http.Request,
	app http.HandlerFunc,
) (issued browserid.ID) {
	t.Helper()
	c.SecretKey = testSecret
	w := httptest.NewRecorder()
	filter := mustNew(t, c)
	filter(app).ServeHTTP(w, r)
	cookies := w.Header()["Set-Cookie"]
	if len(cookies) > 1 {
		t.Errorf("%d cookies were issued: %q", len(cookies), cookies)
	}
	if len(cookies) == 0 {
		return ""
	}
	pair, _, _ := strings.Cut(cookies[0], ";")
	got := visitWith(t, filter, get(pair))
	if got.setCookie != "" {
		t.Errorf("the issued cookie %q is not accepted", pair)
	}
	return got.id
}

func mustID(t *testing.T, ctx context.Context) browserid.ID { //nolint:revive // t first
	t.Helper()
	id, ok := browserid.FromContext(ctx)
	if !ok {
		t.Error("no browser id in the context")
	}
	return id
}

// renew gives the browser of ctx a new id in the transaction of ctx, as the session manager does.
func renew(ctx context.Context) (browserid.ID, error) {
	c, ok := visitor.FromContext(ctx)
	if !ok {
		return "", errors.New("no visitor in the context")
	}
	txn, ok := transaction.FromContext(ctx)
	if !ok {
		return "", errors.New("no transaction in the context")
	}
	var seed [visitor.SeedSize]byte
	rand.Read(seed[:])
	id := c.Visitor.MakeID(seed)
	return browserid.ID(id), c.Renew(txn, id)
}

var errRefused = errors.New("refused")

// A refusingManager is a data manager whose commit fails.
type refusingManager struct{}

func (refusingManager) SortKey() string                            { return "refusing" }
func (refusingManager) Commit(context.Context, resource.Txn) error { return errRefused }
func (refusingManager) Abort(context.Context, resource.Txn) error  { return nil }

func TestRenewInTransaction(t *testing.T) {
	t.Parallel()
	known := visitWith(t, mustNew(t, browserid.Config{SecretKey: testSecret}), get())
	tests := []struct {
		name    string
		end     func(t *transaction.Txn, ctx context.Context) error
		renewed bool
	}{
		{"commit", (*transaction.Txn).Commit, true},
		{"abort", (*transaction.Txn).Abort, false},
		{"doomed", func(t *transaction.Txn, ctx context.Context) error {
			if err := errors.Join(t.Doom(), t.Commit(ctx)); err == nil {
				return errors.New("a doomed transaction was committed")
			}
			return t.Abort(ctx)
		}, false},
		{"failed hook", func(t *transaction.Txn, ctx context.Context) error {
			t.BeforeCommit(func(context.Context) error { return errRefused })
			if err := t.Commit(ctx); !errors.Is(err, errRefused) {
				return fmt.Errorf("commit: got %w, want %w", err, errRefused)
			}
			return t.Abort(ctx)
		}, false},
		{"failed commit", func(t *transaction.Txn, ctx context.Context) error {
			if err := t.Join(refusingManager{}); err != nil {
				return err
			}
			if err := t.Commit(ctx); !errors.Is(err, errRefused) {
				return fmt.Errorf("commit: got %w, want %w", err, errRefused)
			}
			return nil // the transaction is aborted: it can't be committed any more
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var renewed browserid.ID
			issued := serve(t, browserid.Config{}, get(known.cookie()),
				func(_ http.ResponseWriter, r *http.Request) {
					ctx, txn := transaction.Begin(r.Context())
					var err error
					if _, err = renew(ctx); err != nil {
						t.Error(err)
					}
					if renewed, err = renew(ctx); err != nil { // the last id is sent
						t.Error(err)
					}
					if id := mustID(t, ctx); id != renewed {
						t.Errorf("inside the transaction the id is %q, want the new one", id)
					}
					if id := mustID(t, r.Context()); id != known.id {
						t.Errorf("outside the transaction the id is %q before the commit", id)
					}
					if err := tt.end(txn, ctx); err != nil {
						t.Error(err)
					}
					want := known.id
					if tt.renewed {
						want = renewed
					}
					for _, ctx := range []context.Context{ctx, r.Context()} {
						if id := mustID(t, ctx); id != want {
							t.Errorf("after the end the id is %q, want %q", id, want)
						}
					}
				})
			switch {
			case tt.renewed && issued != renewed:
				t.Errorf("issued a cookie for %q, want %q", issued, renewed)
			case !tt.renewed && issued != "":
				t.Errorf("issued a cookie for %q although nothing was committed", issued)
			}
		})
	}
}

// When a request is run again, it renews the id again: only the committed attempt sends its id.
func TestRenewIsRunAgain(t *testing.T) {
	t.Parallel()
	var ids []browserid.ID
	issued := serve(t, browserid.Config{Lazy: true}, get(),
		func(_ http.ResponseWriter, r *http.Request) {
			for attempt := range 3 {
				ctx, txn := transaction.Begin(r.Context())
				before := mustID(t, ctx)
				id, err := renew(ctx)
				if err != nil {
					t.Error(err)
				}
				ids = append(ids, before, id)
				if attempt < 2 {
					err = txn.Abort(ctx)
				} else {
					err = txn.Commit(ctx)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	if ids[0] != ids[2] || ids[2] != ids[4] {
		t.Errorf("attempts began with the ids %q, %q, %q, want the same", ids[0], ids[2], ids[4])
	}
	if issued != ids[5] {
		t.Errorf("issued a cookie for %q, want %q of the attempt that was committed",
			issued, ids[5])
	}
}

func TestRenewTooLate(t *testing.T) {
	t.Parallel()
	serve(t, browserid.Config{}, get(), func(w http.ResponseWriter, r *http.Request) {
		ctx, txn := transaction.Begin(r.Context())
		if _, err := renew(ctx); err != nil {
			t.Error(err)
		}
		_, _ = w.Write([]byte("hello"))
		if err := txn.Commit(ctx); !errors.Is(err, browserid.ErrHeaderSent) {
			t.Errorf("commit of a renewal after the header: got %v, want ErrHeaderSent", err)
		}
		ctx, txn = transaction.Begin(r.Context())
		if _, err := renew(ctx); !errors.Is(err, browserid.ErrHeaderSent) {
			t.Errorf("got %v, want ErrHeaderSent", err)
		}
		if err := txn.Commit(ctx); err != nil {
			t.Error(err)
		}
	})
}

// If the filter stands inside of a transaction, the header may be sent before the commit fails.
// Therefore Renew returns an error at once.
func TestRenewBehindTheTransaction(t *testing.T) {
	t.Parallel()
	r := get()
	ctx, txn := transaction.Begin(r.Context())
	issued := serve(t, browserid.Config{Lazy: true}, r.WithContext(ctx),
		func(_ http.ResponseWriter, r *http.Request) {
			if id, err := renew(r.Context()); !errors.Is(err, visitor.ErrBehindTransaction) {
				t.Errorf("got %q, %v, want ErrBehindTransaction", id, err)
			}
		})
	if err := txn.Commit(ctx); err != nil || issued != "" {
		t.Errorf("commit: %v; issued a cookie for %q", err, issued)
	}
}

// An id derived from a seed has the format of other ids, and is accepted in both formats of the
// cookie.
func TestRenewedFormats(t *testing.T) {
	t.Parallel()
	for _, compat := range []browserid.Compat{
		browserid.CompatNone, browserid.CompatRead,
		browserid.CompatRepoze,
	} {
		var renewed, before browserid.ID
		issued := serve(t, browserid.Config{Compat: compat}, get(),
			func(_ http.ResponseWriter, r *http.Request) {
				ctx, txn := transaction.Begin(r.Context())
				before = mustID(t, ctx)
				var err error
				if renewed, err = renew(ctx); err != nil {
					t.Error(err)
				}
				if err := txn.Commit(ctx); err != nil {
					t.Error(err)
				}
			})
		if issued != renewed || len(renewed) != len(before) {
			t.Errorf("compat %v: issued %q, want %q, in the form of %q", compat, issued,
				renewed, before)
		}
	}
}
