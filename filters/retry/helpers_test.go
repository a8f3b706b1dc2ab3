package retry_test

import (
	"context"
	"crypto/tls"
	"errors"
	"iter"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

// errCommit is the error of the ledger's failing commits.
var errCommit = errors.New("secret: the disk is full")

// A ledger is a data manager whose durable state is a list, and whose commits can be made to fail.
type ledger struct {
	mu        sync.Mutex
	committed []string
	aborted   int
	failures  []error // errors of the next commits
}

// write adds to the ledger in the transaction of ctx.
func (l *ledger) write(ctx context.Context, entry string) error {
	txn, ok := transaction.FromContext(ctx)
	if !ok {
		return errors.New("no transaction")
	}
	return txn.Join(&entryManager{l, entry})
}

func (l *ledger) entries() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.committed...)
}

func (l *ledger) failNext(errs ...error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, errs...)
}

type entryManager struct {
	ledger *ledger
	entry  string
}

func (m *entryManager) SortKey() string { return "ledger" }

func (m *entryManager) Commit(ctx context.Context, _ resource.Txn) error {
	l := m.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return errors.New("commit with a cancelled context")
	}
	if len(l.failures) > 0 {
		err := l.failures[0]
		l.failures = l.failures[1:]
		if err != nil {
			return err
		}
	}
	l.committed = append(l.committed, m.entry)
	return nil
}

func (m *entryManager) Abort(context.Context, resource.Txn) error {
	m.ledger.mu.Lock()
	defer m.ledger.mu.Unlock()
	m.ledger.aborted++
	return nil
}

// protocols yields a real server for handler, first with HTTP/1.1 and then with HTTP/2.
func protocols(t *testing.T, handler http.Handler) iter.Seq[*httptest.Server] {
	t.Helper()
	return func(yield func(*httptest.Server) bool) {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
			if !yield(serve(t, protocol, handler)) {
				return
			}
		}
	}
}

func serve(t *testing.T, protocol string, handler http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = discardLog
	if protocol == "HTTP/2.0" {
		server.EnableHTTP2 = true
		server.StartTLS()
	} else {
		server.Start()
	}
	server.Client().CheckRedirect = func(*http.Request,
		[]*http.Request,
	) error {
		return http.ErrUseLastResponse
	}
	if transport, ok := server.Client().Transport.(*http.Transport); ok {
		transport.DisableCompression = true
		if transport.TLSClientConfig == nil {
			transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	t.Cleanup(server.Close)
	return server
}

// eventually waits until condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen", what)
		}
		runtime.Gosched()
	}
}

// leakCheck fails the test if goroutines of this module are left when it ends. Servers of other
// tests may run longer.
func leakCheck(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		var stacks string
		// goroutines of parallel tests must be able to end, too
		deadline := time.Now().Add(time.Minute)
		for {
			buffer := make([]byte, 1<<20)
			stacks = string(buffer[:runtime.Stack(buffer, true)])
			left := 0
			for stack := range strings.SplitSeq(stacks, "\n\n") {
				if strings.Contains(stack, "pasteline/") &&
					!strings.Contains(stack, "testing.tRunner") &&
					!strings.Contains(stack, "internal/testing/testserver.") {
					left++
				}
			}
			if left == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("goroutines left behind:\n%s", stacks)
				return
			}
			runtime.Gosched()
		}
	})
}
