package static

import "time"

// SetNow sets the clock.
func SetNow(a *App, now func() time.Time) { a.now = now }
