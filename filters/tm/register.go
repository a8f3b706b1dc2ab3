package tm

import (
	"net/http"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/order"
)

// settings are the settings of an .ini section.
type settings struct {
	CommitVeto  string         `nonempty:"true" help:"name of the veto that says which responses abort: none, repoze.tm:default_commit_veto, or one that a program registers; the default is every status from 500 on"`
	Activate    string         `nonempty:"true" help:"name of a predicate that says which requests get a transaction; the default is all"`
	User        string         `nonempty:"true" help:"name of a function that names the user for the annotation of the transaction"`
	HighWater   pipeline.Bytes `ini:"highwater" default:"2MB" help:"how much of a response, or of a request's body, is kept in memory before a temporary file is used; 0 is as little as possible (up to four times as much while few need it), if there is no retry around that buffers it"`
	StreamBody  bool           `default:"false" help:"pass a request's body on while the client sends it, within the transaction; else all of it is received before that begins; if there is a retry around, its setting counts"`
	MaxBody     pipeline.Bytes `default:"1GB" help:"longest request body, beyond which the answer is 413, if there is no retry around; 0 is no limit"`
	MaxResponse pipeline.Bytes `default:"1GB" help:"longest response that can be buffered, beyond which the answer is 500, if there is no retry around that buffers it; 0 is no limit"`
}

// Register adds the filter to r as "egg:pasteline#tm", and under the names of the original,
// "egg:repoze.tm2#tm" and "egg:repoze.tm#tm".
//
// Values for settings are registered with pipeline.Value: a [Veto] for commit_veto, an [Activate]
// for activate, a [User] for user. Predefined are the vetoes "none" ([NoVeto]) and, under the
// original's names, "repoze.tm:default_commit_veto" and "repoze.tm2:default_commit_veto"
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
		Logger:      b.Logger(),
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
