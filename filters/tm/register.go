package tm

import (
	"net/http"
	"time"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/order"
)

// settings declares the settings of an .ini section.
type settings struct {
	CommitVeto  string         `nonempty:"true" help:"name of the veto, which chooses the responses that abort the transaction: none, repoze.tm:default_commit_veto, or one that a program registers; by default a status from 500 on aborts"`
	Activate    string         `nonempty:"true" help:"name of a predicate for the requests that get a transaction; by default all do"`
	User        string         `nonempty:"true" help:"name of a function that returns the user's name for the transaction's description"`
	HighWater   pipeline.Bytes `ini:"highwater" default:"2MB" help:"bytes of a response, or of a request body, that are kept in memory before a temporary file is used (up to four times as many while memory is not short); 0 means as few as possible; behind retry, its setting applies"`
	StreamBody  bool           `default:"false" help:"pass the request body to the app while the client sends it; otherwise the whole body is received before the transaction begins; behind retry, its setting applies"`
	MaxBody     pipeline.Bytes `default:"1GB" help:"maximum size of a request body; a longer one is answered with 413; 0 is no limit; behind retry, its setting applies"`
	MaxResponse pipeline.Bytes `default:"1GB" help:"maximum size of a response that is buffered; a longer one is replaced by 500; 0 is no limit; behind retry, its setting applies"`
	SlowCommit  time.Duration  `default:"1" min:"0s" help:"log a warning for a commit that takes this long; 0 logs none"`
}

// Register adds the filter to r as "egg:pasteline#tm", and under the names of the Python packages,
// "egg:repoze.tm2#tm" and "egg:repoze.tm#tm".
//
// Values for settings are registered with pipeline.Value: a [Veto] for commit_veto, an [Activate]
// for activate, a [User] for user. Predefined are the vetoes "none" ([NoVeto]) and, under the names
// of the Python packages, "repoze.tm:default_commit_veto" and "repoze.tm2:default_commit_veto"
// ([RepozeVeto]).
func Register(r *pipeline.Registry) {
	pipeline.Filter(r, "egg:pasteline#tm", newFromSettings)
	r.Alias("egg:repoze.tm2#tm", "egg:pasteline#tm")
	r.Alias("egg:repoze.tm#tm", "egg:pasteline#tm")
	r.Alias("call:repoze.tm:make_tm", "egg:pasteline#tm")
	pipeline.Value(r, "none", Veto(NoVeto))
	pipeline.Value(r, "repoze.tm:default_commit_veto", Veto(RepozeVeto))
	pipeline.Value(r, "repoze.tm2:default_commit_veto", Veto(RepozeVeto))
}

func newFromSettings(b *pipeline.Build, s settings) (func(http.Handler) http.Handler, error) {
	b.Offer(order.TM, nil)
	b.Require(order.Requirement{
		Filter: order.TM, Place: order.NotInFront,
		Else: "a request is in a transaction already, so this one does nothing, " +
			"whatever its settings say; leave one of them out",
	})
	config := Config{
		HighWater:   s.HighWater.Limit(),
		MaxBody:     s.MaxBody.Limit(),
		MaxResponse: s.MaxResponse.Limit(),
		StreamBody:  s.StreamBody,
		SlowCommit:  s.SlowCommit,
		Logger:      b.Logger(),
	}
	if s.SlowCommit == 0 {
		config.SlowCommit = -1
	}
	err := lookup(b, "commit_veto", s.CommitVeto, &config.Veto)
	if err == nil {
		err = lookup(b, "activate", s.Activate, &config.Activate)
	}
	if err == nil {
		err = lookup(b, "user", s.User, &config.User)
	}
	if err != nil {
		return nil, err
	}
	return New(config), nil
}

// lookup sets v to the value that is registered as name, if the setting is given.
func lookup[T any](b *pipeline.Build, key, name string, v *T) error {
	if name == "" {
		return nil
	}
	found, err := pipeline.Lookup[T](b, name)
	if err != nil {
		return &pipeline.Error{Key: key, Err: err}
	}
	*v = found
	return nil
}
