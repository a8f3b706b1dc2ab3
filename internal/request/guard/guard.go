// Package guard decides which clients may use an app that is not for the public, such as the
// inspector, the metrics and the details of the health check.
//
// A client may use it if it connects from an allowed address, or if it sends the token:
//
//	g, err := guard.New(guard.Settings{Allow: []string{"localhost"}, Token: token})
//	…
//	return g.Protect(app), nil
//
// Other clients get 403. An app embeds [Settings] in the settings of its section, so that all such
// apps have the keys allow and token.
//
// # Proxies
//
// The address of a request with a forwarded header field, such as X-Forwarded-For, is never
// allowed: it is that of a proxy, or one that the client may have invented. Clients behind a proxy
// need the token. A proxy that adds no such field, and connects from an allowed address, makes all
// of its clients allowed ones.
//
// A browser on this machine can be made to send requests here by a page of another site, whose
// name leads to 127.0.0.1. So a client on this machine is allowed only if the Host of its request
// is an IP address, localhost, or the name of this machine.
package guard

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/request/forwarded"
	"github.com/pasteline/pasteline/pipeline"
)

// Settings are the settings of an app that has a guard.
type Settings struct {
	// Allow lists the addresses that may use the app without the token: addresses, networks,
	// "localhost", "unix" for the unix sockets of the server, "unix:" and the path of one, or "*"
	// for all. An empty list allows none.
	Allow []string `ini:"allow" default:"localhost" help:"clients that need no token: addresses, networks (10.0.0.0/8), localhost, unix (sockets), or * for all; empty for none"`

	// Token gives access from any address, as a Bearer token or as the password of Basic
	// authentication. "" is no token.
	Token pipeline.Secret `ini:"token" nonempty:"true" help:"gives access from any address: the header field is Authorization: Bearer TOKEN, or Basic with the token as the password"`
}

// minToken is the least length of a token in bytes: a shorter one could be guessed.
const minToken = 16

// A Guard is safe for concurrent use by multiple goroutines.
type Guard struct {
	peers forwarded.Peers
	token *[sha256.Size]byte // the hash of the token; nil: none
}

// New returns a guard. The error is a [pipeline.Error] with the key of a setting.
func New(s Settings) (*Guard, error) {
	var words []string
	var g Guard
	everybody := false
	for _, word := range s.Allow {
		switch word = strings.Trim(word, ","); word {
		case "localhost":
			words = append(words, "127.0.0.0/8", "::1")
		case "*":
			everybody = true
		default:
			words = append(words, word)
		}
	}
	peers, faults := forwarded.ParsePeers(words)
	if len(faults) > 0 {
		return nil, &pipeline.Error{Key: "allow", Err: errors.Join(faults...)}
	}
	if g.peers = peers; everybody {
		g.peers = forwarded.Everybody()
	}
	if s.Token != "" {
		if len(s.Token.Reveal()) < minToken {
			return nil, &pipeline.Error{Key: "token", Err: fmt.Errorf(
				"it has fewer than %d characters and could be guessed: write a longer one", minToken)}
		}
		g.token = new(sha256.Sum256([]byte(s.Token.Reveal())))
	}
	return &g, nil
}

// The reasons of a refusal, for the client. None tells whether there is a token.
var (
	errAddress = errors.New("this address is not allowed: connect from one that the setting allow " +
		"lists, or send the token")
	errProxy = errors.New("the request came through a proxy: send the token, or connect without " +
		"the proxy")
	errHost = errors.New("a client on this machine has to use an IP address, localhost or the " +
		"name of this machine in the URL")
	errToken = errors.New("the token is wrong")
)

// Allows reports whether r may use the app.
func (g *Guard) Allows(r *http.Request) bool { return g.Check(r) == nil }

// Check returns nil if r may use the app, or else an error with the status 403 that
// [handler.Respond] answers with.
func (g *Guard) Check(r *http.Request) error {
	if err := g.check(r); err != nil {
		text := err.Error()
		return &handler.Error{
			Status: http.StatusForbidden, Message: strings.ToUpper(text[:1]) + text[1:] + ".", Err: err,
		}
	}
	return nil
}

func (g *Guard) check(r *http.Request) error {
	if sent := token(r); sent != "" && g.token != nil {
		hash := sha256.Sum256([]byte(sent))
		if subtle.ConstantTimeCompare(hash[:], g.token[:]) == 1 {
			return nil
		}
		return errToken
	}
	if !g.peers.Trust(r) {
		return errAddress
	}
	if g.peers.Contains(netip.Addr{}) { // all clients are allowed
		return nil
	}
	if forwarded.ByProxy(r) {
		return errProxy
	}
	if addr, ok := forwarded.Addr(r.RemoteAddr); ok && addr.IsLoopback() && !isLocal(r.Host) {
		return errHost
	}
	return nil
}

// token returns the token that a request has sent, or "".
func token(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, sent, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(sent)
}

// hostname returns the name of this machine, or "".
var hostname = sync.OnceValue(func() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
})

// isLocal reports whether a Host field is one that a site on the internet can't have.
func isLocal(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") ||
		host != "" && host == strings.ToLower(hostname())
}

// Protect returns next, except that clients that are not allowed get 403.
func (g *Guard) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.Check(r); err != nil {
			w.Header().Set("Cache-Control", "no-store")
			handler.Respond(w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}
