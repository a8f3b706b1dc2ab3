package server

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// A development is the debug = true of a server's file.
type development struct {
	place string            // file and line of the setting
	names map[string]string // the keys of the section, where they differ from those of Config
}

// noteDebug records whether the file of the section has debug = true. The names are those of the
// section for keys of the Config.
func (s *Server) noteDebug(b *pipeline.Build, names map[string]string) {
	if !b.Debug() {
		return
	}
	debug, _ := b.GlobalConf().Get("debug")
	place := tree.Position{File: debug.File, Line: debug.Line}.String()
	s.development = &development{cmp.Or(place, "given from outside"), names}
}

// checkPublic returns an error for each address that other machines can reach, if debug is true: the
// error page is for clients on this machine, and apps show them more, too.
func (s *Server) checkPublic() error {
	if s.development == nil {
		return nil
	}
	var errs []error
	for _, a := range s.addresses {
		if a.kind != kindTCP || isLoopback(a.host) {
			continue
		}
		key := cmp.Or(s.development.names[a.key], a.key)
		instead := key + " = 127.0.0.1"
		if a.key == "listen" {
			instead += ":" + a.port
		}
		errs = append(errs, &pipeline.Error{
			Key: key, Err: fmt.Errorf("other machines reach %q, while debug = true (%s) is for "+
				"development on this one", a.text, s.development.place),
			Hint: "write " + instead + ", or debug = false",
		})
	}
	return errors.Join(errs...)
}

// warnPublic logs the error of checkPublic: the developer's page is for clients on this machine
// wherever the server listens, so the server may start.
func (s *Server) warnPublic() {
	if err := s.checkPublic(); err != nil {
		s.logger.Warn("debug is true, and other machines reach the server: serve check says what to "+
			"write", slog.Any("error", err))
	}
}

// isLoopback reports whether only this machine reaches a host. Of a name other than localhost that
// is not known before it is looked up.
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return strings.EqualFold(host, "localhost")
	}
	return addr.Unmap().IsLoopback()
}
