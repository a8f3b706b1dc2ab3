package picture

import (
	"math"

	"github.com/pasteline/pasteline/observe"
)

// A Row is a request as it is drawn. The template "bars" draws its bars, "losses" its losses.
type Row struct {
	Request
	Bars   []Bar
	Losses []Loss
	Notes  []string // the remarks of the request
	Class  string   // "failed", "troubled" (it has lost attempts or remarks) or ""
	Scale  float64  // the milliseconds that the width of the row stands for
	Extent float64  // the milliseconds that the request needs
}

// A Bar is a part of an attempt: the wait before it, the handler, or the commit.
type Bar struct {
	X, Width float64 // in milliseconds from the begin of the request
	Class    string
}

// A Loss is an attempt that was lost.
type Loss struct {
	*Attempt
	Winner *Request // nil: unknown, or not recorded any more
}

// NewRow returns a request as it is drawn. find returns the request of an id, to name the winner of
// a conflict; it may be nil.
func NewRow(q Request, find func(id string) (Request, bool)) Row {
	r := Row{Request: q, Notes: q.Remarks(), Extent: q.Millis}
	end := 0.0
	for i := range r.Attempts {
		t := &r.Attempts[i]
		if wait := t.At - end; wait > 0 && i > 0 {
			r.Bars = append(r.Bars, Bar{end, wait, "wait"})
		}
		handler := t.Millis
		if t.CommitAt > 0 && t.CommitAt < t.At+t.Millis {
			handler = t.CommitAt - t.At
		}
		class := "handler"
		if t.Outcome == observe.Conflicted {
			class = "handler lost"
			one := Loss{Attempt: t}
			if find != nil && t.Conflict != nil && t.Conflict.With != "" {
				if winner, ok := find(t.Conflict.With); ok {
					one.Winner = &winner
				}
			}
			r.Losses = append(r.Losses, one)
		}
		r.Bars = append(r.Bars, Bar{t.At, handler, class})
		if t.CommitMillis > 0 {
			commit := "commit"
			if t.Outcome == observe.Conflicted {
				commit = "commit lost"
			}
			r.Bars = append(r.Bars, Bar{t.CommitAt, t.CommitMillis, commit})
		}
		end = t.At + t.Millis
	}
	if len(r.Attempts) == 0 {
		r.Bars = append(r.Bars, Bar{0, r.Millis, "handler plain"})
	}
	if r.Released && end > 0 { // the rest of a stream would make all other bars short
		r.Extent = end
	}
	switch {
	case r.Failed():
		r.Class = "failed"
	case len(r.Losses) > 0, len(r.Notes) > 0:
		r.Class = "troubled"
	}
	r.Scale = scaleOf(r.Extent)
	return r
}

// Shift moves the bars by milliseconds, as for a request that begins later than another.
func (r *Row) Shift(ms float64) {
	for i := range r.Bars {
		r.Bars[i].X += ms
	}
	r.Extent += ms
	r.Scale = scaleOf(r.Extent)
}

// scaleOf returns a round number of milliseconds that has room for all of ms.
func scaleOf(ms float64) float64 {
	if ms <= 1 {
		return 1
	}
	step := math.Pow(10, math.Floor(math.Log10(ms)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if ms <= step*factor {
			return step * factor
		}
	}
	return 10 * step
}
