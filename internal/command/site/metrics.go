package site

import (
	"expvar"
	"sync"
	"sync/atomic"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction/recovery"
)

// served are the sources of the metrics of the server that was started last. Package expvar has one
// list for the process, which rarely has another server.
var served struct {
	recovery atomic.Pointer[recovery.Worker]
	opener   atomic.Pointer[storage.Opener]
}

var publishOnce = sync.OnceFunc(func() {
	expvar.Publish("pasteline.recovery", expvar.Func(func() any {
		if w := served.recovery.Load(); w != nil {
			return w.Stats()
		}
		return recovery.Stats{}
	}))
	expvar.Publish("pasteline.storage", expvar.Func(func() any {
		if o := served.opener.Load(); o != nil {
			return o.Gauges()
		}
		return nil
	}))
})

// publish makes w and o the sources of the metrics of package expvar.
func publish(w *recovery.Worker, o *storage.Opener) {
	served.recovery.Store(w)
	served.opener.Store(o)
	publishOnce()
}
