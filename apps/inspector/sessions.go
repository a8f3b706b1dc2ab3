package inspector

import (
	"context"
	"log/slog"
	"time"

	"github.com/pasteline/pasteline/internal/picture"
	"github.com/pasteline/pasteline/session"
)

// Limits of the cost of looking at sessions.
const (
	countedSessions = 10_000
	sampledSessions = 20
	surveyEvery     = 5 * time.Second
	surveyTime      = 2 * time.Second
)

// Sessions describe the sessions of one manager.
type Sessions struct {
	Name   string    `json:"name"`
	DB     string    `json:"db"`
	Count  int       `json:"count"`
	More   bool      `json:"more"` // there are more than Count
	Sample []Session `json:"sample"`
}

// A Session is one of those that were used last.
type Session struct {
	Ref      string         `json:"ref"` // the begin of an id for logs, which is not the browser id
	Created  time.Time      `json:"created"`
	LastUsed time.Time      `json:"last_used"`
	Bytes    int            `json:"bytes"`
	Keys     int            `json:"keys"`
	Values   map[string]any `json:"values,omitempty"` // with reveal = true
}

// sessions returns the latest survey of the sessions. It asks the database at most once in surveyEvery.
func (a *app) sessions(ctx context.Context) []Sessions {
	var all []Sessions
	for _, s := range a.surveys(ctx) {
		one := Sessions{Name: s.Name, DB: s.DB, Count: s.Count, More: s.More}
		for _, sample := range s.Sample {
			line := Session{
				Ref: picture.ShortRef(sample.Ref), Created: sample.Created, LastUsed: sample.LastUsed,
				Bytes: sample.Bytes, Keys: len(sample.Keys()),
			}
			if line.LastUsed.Before(line.Created) { // the begin of the time slice of its last use
				line.LastUsed = line.Created
			}
			if a.settings.Reveal {
				line.Values, _ = sample.All() // those that can be read
			}
			one.Sample = append(one.Sample, line)
		}
		all = append(all, one)
	}
	return all
}

func (a *app) surveys(ctx context.Context) []session.Survey {
	current, _ := a.state.history()
	s := a.state
	s.surveyMu.Lock()
	defer s.surveyMu.Unlock()
	if time.Since(s.surveyed) < surveyEvery {
		return s.surveys
	}
	// The transaction is not that of the request, whose context may carry one.
	own, cancel := context.WithTimeout(context.Background(), surveyTime)
	defer cancel()
	var found []session.Survey
	for _, m := range current.sessions {
		survey, err := m.Survey(own, countedSessions, sampledSessions) //nolint:contextcheck // see above
		if err != nil {
			a.logger.WarnContext(ctx, "can't count the sessions", slog.Any("error", err))
			continue
		}
		found = append(found, survey)
	}
	s.surveys, s.surveyed = found, time.Now()
	return found
}
