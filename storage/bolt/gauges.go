package bolt

import "github.com/pasteline/pasteline/storage/engine"

var _ engine.Gauger = (*database)(nil)

// Gauges implements [engine.Gauger]. The free pages are those that the next writes can use, and
// those that become free when the readers that still need them have ended.
func (e *database) Gauges() map[string]float64 {
	if e.acquire() != nil {
		return nil
	}
	defer e.release()
	info, err := e.location.file.Stat()
	if err != nil {
		return nil
	}
	stats := e.db.Stats()
	free := float64(stats.FreePageN + stats.PendingPageN)
	e.readers.mu.Lock()
	idle := len(e.readers.idle)
	e.readers.mu.Unlock()
	return map[string]float64{
		"file_size_bytes": float64(info.Size()),
		"free_pages":      free,
		"free_bytes":      free * float64(e.db.Info().PageSize),
		"open_readers":    float64(max(stats.OpenTxN-idle, 0)),
	}
}
