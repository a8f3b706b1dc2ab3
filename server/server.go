package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/request/formfiles"
	"github.com/pasteline/pasteline/internal/request/inflight"
	"github.com/pasteline/pasteline/internal/request/sent"
	"github.com/pasteline/pasteline/observe"
	"github.com/pasteline/pasteline/pipeline"
)

// A Server serves one handler over HTTP. Call Listen, then Serve; Shutdown may be called at any
// time, by any goroutine. A Server can't be used again after Shutdown.
type Server struct {
	config      Config
	logger      *slog.Logger
	addresses   []address
	tls         *tls.Config       // nil without TLS
	files       *certificateFiles // nil without TLS from files
	visitor     *translator       // nil if requests are not rewritten
	http        *http.Server
	slots       slots
	cancel      context.CancelFunc // cancels the parent of all request contexts
	running     inflight.Set       // requests in their handler
	development *development       // nil without debug = true
	patience    time.Duration      // time after which Shutdown logs the requests it waits for

	mu        sync.Mutex // guards the rest of the paragraph
	listeners []*listener
	down      bool // closed for good
	serving   bool // Serve accepts from the listeners

	newConns newConns
	newGrace time.Duration // time that Shutdown waits for new connections
}

// New returns a server that does not listen yet, but has read the certificate. Errors of
// connections and panics of handlers are logged to logger, which may be nil. The error joins all
// errors in config.
func New(config Config, logger *slog.Logger) (*Server, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	config = config.withDefaults()
	addresses, _ := config.addresses() // Validate checked both
	visitor, _ := config.newTranslator(logger)
	tlsConfig, files, err := config.newTLS(logger)
	if err != nil {
		return nil, err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(!config.DisableHTTP2)
	protocols.SetUnencryptedHTTP2(config.H2C)
	base, cancel := context.WithCancel(context.Background())
	s := &Server{
		config:    config,
		logger:    logger,
		addresses: addresses,
		tls:       tlsConfig,
		files:     files,
		visitor:   visitor,
		cancel:    cancel,

		newGrace: defaultNewGrace,
		patience: defaultPatience,
		http: &http.Server{
			TLSConfig:         tlsConfig,
			Protocols:         &protocols,
			ReadHeaderTimeout: config.ReadHeaderTimeout,
			IdleTimeout:       config.IdleTimeout,
			MaxHeaderBytes:    int(config.MaxHeaderBytes),
			ConnContext:       connContext,
			BaseContext:       func(net.Listener) context.Context { return base },
			ErrorLog: slog.NewLogLogger(connectionHandler{logger.Handler()},
				slog.LevelDebug),
		},
	}
	s.http.DisableGeneralOptionsHandler = true // it would bypass the handler and twoLengths
	s.http.ConnState = func(c net.Conn, state http.ConnState) {
		s.newConns.track(c, state)
		if state == http.StateHijacked {
			releaseHijacked(c)
		}
	}
	if config.MaxConnections > 0 {
		s.slots = make(slots, config.MaxConnections)
	}
	return s, nil
}

// Serve answers requests with h until Shutdown, and then returns nil, without waiting for running
// requests, as Shutdown does.
func (s *Server) Serve(h http.Handler) error {
	listeners := s.accepting()
	if listeners == nil {
		return errors.New("server: Listen was not called")
	}
	s.http.Handler = s.watch(s.translated(h))
	ended := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() {
			if s.tls != nil {
				ended <- s.http.ServeTLS(l, "", "")
			} else {
				ended <- s.http.Serve(l)
			}
		}()
	}
	var errs []error
	for range listeners {
		err := <-ended
		if down := errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) &&
			s.isDown(); !down {
			errs = append(errs, fmt.Errorf("server: %w", err))
			// One failed listener stops the server: partial listening is hard to diagnose.
			s.closeListeners()
		}
	}
	if len(errs) > 0 {
		return errs[0] // the others are consequences
	}
	return nil
}

// translated wraps h: it rewrites requests with the translator, and sets the Server field of
// responses.
func (s *Server) translated(h http.Handler) http.Handler {
	visitor, ident := s.visitor, s.config.ServerHeader
	if visitor == nil && ident == "" {
		return h
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ident != "" {
			w.Header().Set("Server", ident)
		}
		own := r
		if visitor != nil {
			var err error
			own, err = visitor.translate(r)
			if err != nil {
				s.logger.LogAttrs(r.Context(), slog.LevelWarn,
					"a trusted proxy has sent what can't be understood",
					slog.String("remote_addr", r.RemoteAddr), slog.Any("error", err))
				http.Error(w, "Bad Request", http.StatusBadRequest)
				return
			}
			if id := visitor.requestID(r); id != "" {
				observe.FromContext(r.Context()).SetID(id)
			}
		}
		defer formfiles.HandBack(r, own)
		h.ServeHTTP(w, own)
	})
}

// watch wraps h: it tracks running requests, refuses requests without a path, and enforces the
// limits for slow clients and large bodies.
func (s *Server) watch(h http.Handler) http.Handler {
	return http.HandlerFunc(func(raw http.ResponseWriter, r *http.Request) {
		w := &response{Writer: sent.Writer{ResponseWriter: raw}, http1: r.ProtoMajor == 1}
		s.running.Begin(&w.Request, r)
		defer s.running.End(&w.Request)
		c := connOf(r)
		s.newConns.requested(c)
		if w.http1 {
			defer breakOff(c, w, r)
			if c.received().twoLengths(r) {
				last := lastWriter{raw}
				defer last.last() // the handler may write nothing
				w.ResponseWriter = last
			}
		}
		known := w.identify(r)
		defer answerPanic(s.logger, &w.Writer, known)
		if r.Method == http.MethodOptions && r.RequestURI == "*" { // for the server itself
			return
		}
		own, ok := withPath(known)
		if !ok {
			http.Error(w, "Bad Request", http.StatusBadRequest)
			return
		}
		limit := int64(s.config.MaxBodyBytes)
		if limit > 0 && r.ContentLength > limit {
			w.Header().Set("Connection", "close") // the body is not read
			http.Error(w, "Request Entity Too Large", http.StatusRequestEntityTooLarge)
			return
		}
		if r.ProtoMajor == 2 {
			stream := newStreamWriter(raw, s.config.WriteTimeout)
			defer stream.finish()
			w.ResponseWriter = stream
		}
		if r.Body == nil || r.Body == http.NoBody {
			h.ServeHTTP(w, own)
			return
		}
		defer formfiles.RemoveAll(r) // net/http does not remove them if the response is cut
		defer formfiles.HandBack(r, own)
		withBody(w, raw, own, s.config.ReadTimeout, limit, h)
	})
}

// DrainDelay returns the DrainDelay of the Config.
func (s *Server) DrainDelay() time.Duration { return s.config.DrainDelay }

// Shutdown stops accepting, and waits until all requests have been answered, ctx is done or the
// ShutdownTimeout has passed. Then it cancels the contexts of the remaining requests and closes
// their connections; the error has their number.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.cancel()
	ctx, done := context.WithTimeout(ctx, s.config.ShutdownTimeout)
	defer done()
	said := time.AfterFunc(s.patience, func() { s.logRunning("shutting down waits for requests") })
	defer said.Stop()
	s.drain(ctx)
	// An error other than that of ctx is of a listener, which drain has closed before: then all
	// connections are idle.
	idle := s.http.Shutdown(ctx) == nil || ctx.Err() == nil
	if idle && s.settled(ctx) {
		return nil
	}
	cut := s.running.Len()
	s.logRunning("the time to shut down is over, and requests are cut off")
	s.cancel()
	_ = s.http.Close() // the listeners are closed already, and the connections' errors don't matter
	// A cancelled handler needs a moment to return, and its resources should not be closed before.
	last, done := context.WithTimeout(context.WithoutCancel(ctx), lastGrace)
	defer done()
	if !s.settled(last) {
		s.logRunning("requests go on although their contexts are cancelled, and are left behind")
	}
	what := "connections were"
	switch {
	case cut == 1:
		what = "1 request was"
	case cut > 1:
		what = fmt.Sprintf("%d requests were", cut)
	}
	return fmt.Errorf("server: %s cut off when the time to shut down was over: %w", what, ctx.Err())
}

// drain stops accepting and waits until the first request of each connection has reached its
// handler, for newGrace at most. During its own Shutdown, [http.Server] closes a connection
// whose first request it has just read, without an answer.
func (s *Server) drain(ctx context.Context) {
	s.http.SetKeepAlivesEnabled(false)
	s.closeListeners()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	grace := time.NewTimer(s.newGrace)
	defer grace.Stop()
	for !s.accepted() || s.newConns.some.Load() {
		select {
		case <-tick.C:
		case <-grace.C:
			s.newConns.close()
			return
		case <-ctx.Done():
			return
		}
	}
}

// logRunning logs the running requests. If there are none, Shutdown waits for a connection on
// which a request is being received or a response sent.
func (s *Server) logRunning(message string) {
	if s.running.Len() == 0 {
		s.logger.Warn("shutting down waits for connections on which a request is still received " +
			"or an answer is still sent")
		return
	}
	s.logger.Warn(message, s.running.Attrs()...) //nolint:sloglint // the message is the caller's constant
}

// defaultPatience is the time after which Shutdown logs the requests that it waits for.
const defaultPatience = 3 * time.Second

// defaultNewGrace is the time that a connection without a request has to send its first one
// after Shutdown. Browsers open connections before they need them, and net/http would wait for
// those for five seconds.
const defaultNewGrace = time.Second

// lastGrace is the time that handlers have to return after their contexts were cancelled.
const lastGrace = time.Second

// settled waits until no handler runs, hijacked connections included. It reports false if ctx is
// done first.
func (s *Server) settled(ctx context.Context) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for s.running.Len() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

var _ pipeline.Server = (*Server)(nil)
