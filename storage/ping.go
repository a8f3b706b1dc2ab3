package storage

import (
	"context"
	"runtime/debug"
	"sync"

	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/transaction"
)

// A pinger lets one goroutine at a time read from a database: of a database that does not answer,
// only that one goroutine waits, however often it is asked.
type pinger struct {
	mu      sync.Mutex
	running *pingCall // nil: none
}

// A pingCall is a read. Its error may be used once done is closed.
type pingCall struct {
	done chan struct{}
	err  error
}

// ping reads from the database, or waits for the running read, until ctx is done.
func (c *core) ping(ctx context.Context) error {
	c.pinger.mu.Lock()
	call := c.pinger.running
	if call == nil {
		call = &pingCall{done: make(chan struct{})}
		c.pinger.running = call
		go c.runPing(ctx, call)
	}
	c.pinger.mu.Unlock()
	select {
	case <-call.done:
		return call.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// runPing runs a call. Others may wait for it, so it has the deadline of ctx, and is not cancelled.
func (c *core) runPing(ctx context.Context, call *pingCall) {
	own := context.WithoutCancel(ctx)
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		own, cancel = context.WithDeadline(own, deadline)
		defer cancel()
	}
	call.err = readOnce(own, c.engine)
	c.pinger.mu.Lock()
	c.pinger.running = nil
	c.pinger.mu.Unlock()
	close(call.done)
}

// pinged is a bucket and a key that are read. Databases need not have them.
const pinged = "pasteline.ping"

func readOnce(ctx context.Context, e engine.Engine) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &transaction.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	view, err := e.Begin(ctx)
	if err != nil {
		return err
	}
	defer view.Close()
	_, err = view.Get(pinged, []byte(pinged))
	return err
}
