package myapp

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/pasteline/pasteline/transaction"
)

// A stream ends after maxEvents events; browsers then connect again.
const (
	maxEvents     = 2400 // ten minutes
	eventInterval = time.Second / 4
)

// events streams the shared counter. The first event is read in the request's own transaction,
// which ends at the flush. Every later event is read in a separate transaction, so that no
// transaction is open for as long as the stream.
func (a *app) events(w http.ResponseWriter, r *http.Request) error {
	counters, err := a.db.Bucket(r.Context(), counterBucket)
	if err != nil {
		return err
	}
	n, err := counter(counters, sharedKey)
	if err != nil {
		return err
	}
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // keeps nginx from buffering events
	fmt.Fprint(w, "retry: 2000\n")
	writeEvent(w, 1, n)
	if err := control.Flush(); err != nil {
		return err // nothing has been sent, so the request is run again after a conflict
	}
	if r.Method == http.MethodHead {
		return nil
	}
	tick := time.NewTicker(eventInterval)
	defer tick.Stop()
	stopping := a.servers.Done(r)
	for number := 2; number <= maxEvents; number++ {
		select {
		case <-tick.C:
		case <-stopping:
			return nil
		case <-r.Context().Done():
			return nil
		}
		n, err := a.sharedNow(r.Context())
		switch {
		case err != nil && r.Context().Err() != nil:
			return nil // the client has disconnected
		case err != nil:
			return err
		}
		writeEvent(w, number, n)
		if control.Flush() != nil {
			return nil // the client has disconnected
		}
	}
	return nil
}

func writeEvent(w http.ResponseWriter, number int, shared uint64) {
	fmt.Fprintf(w, "id: %d\ndata: {\"event\": %d, \"shared\": %d}\n\n", number, number, shared)
}

// sharedNow reads the shared counter in a separate transaction.
func (a *app) sharedNow(ctx context.Context) (n uint64, err error) {
	err = transaction.Run(ctx, func(ctx context.Context) error {
		bucket, err := a.db.Bucket(ctx, counterBucket)
		if err != nil {
			return err
		}
		n, err = counter(bucket, sharedKey)
		return err
	})
	return n, err
}
