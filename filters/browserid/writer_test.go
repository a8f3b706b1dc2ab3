package browserid_test

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/transaction"
)

// onlyReader hides other methods of a reader, so that io.Copy calls the writer's ReadFrom.
type onlyReader struct{ io.Reader }

// TestOnServers runs handlers that answer in all possible ways on real servers: exactly one cookie
// of the filter must arrive, with all header fields of the app and the whole body.
func TestOnServers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		method   string
		handler  func(w http.ResponseWriter, r *http.Request) error
		status   int
		body     string
		trailer  string
		aborted  bool
		want1xx  int
		http1    bool // not possible with HTTP/2
		noCookie bool
	}{
		{
			name: "nothing", handler: func(http.ResponseWriter, *http.Request) error { return nil },
			status: 200,
		},
		{name: "write", handler: func(w http.ResponseWriter, _ *http.Request) error {
			_, err := w.Write([]byte("hello"))
			return err
		}, status: 200, body: "hello"},
		{name: "write string", handler: func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.WriteString(w, "hello")
			return err
		}, status: 200, body: "hello"},
		{name: "status, then write", handler: func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusTeapot)
			_, err := w.Write([]byte("hello"))
			return err
		}, status: 418, body: "hello"},
		{name: "flush first", handler: func(w http.ResponseWriter, _ *http.Request) error {
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
			_, err := w.Write([]byte("hello"))
			return err
		}, status: 200, body: "hello"},
		{name: "http.Flusher first", handler: func(w http.ResponseWriter, _ *http.Request) error {
			w.(http.Flusher).Flush()
			_, err := w.Write([]byte("hello"))
			return err
		}, status: 200, body: "hello"},
		{name: "read from", handler: func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.Copy(w, onlyReader{strings.NewReader("hello")})
			return err
		}, status: 200, body: "hello"},
		{name: "read from, after a write", handler: func(w http.ResponseWriter,
			_ *http.Request,
		) error {
			if _, err := io.WriteString(w, "he"); err != nil {
				return err
			}
			_, err := io.Copy(w, onlyReader{strings.NewReader("llo")})
			return err
		}, status: 200, body: "hello"},
		{name: "no content", handler: func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusNoContent)
			return nil
		}, status: 204},
		{name: "not modified", handler: func(w http.ResponseWriter, _ *http.Request) error {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}, status: 304},
		{name: "head", method: http.MethodHead, handler: func(w http.ResponseWriter,
			_ *http.Request,
		) error {
			_, err := w.Write([]byte("hello"))
			return err
		}, status: 200},
		{name: "early hints", handler: func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Add("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.WriteHeader(http.StatusProcessing)
			_, err := w.Write([]byte("hello"))
			return err
		}, status: 200, body: "hello", want1xx: 2},
		{name: "trailers", handler: func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Trailer", "X-Sum")
			_, err := w.Write([]byte("hello"))
			w.Header().Set("X-Sum", "5")
			return err
		}, status: 200, body: "hello", trailer: "5"},
		{name: "deadline", handler: func(w http.ResponseWriter, _ *http.Request) error {
			if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				return err
			}
			_, err := w.Write([]byte("hello"))
			return err
		}, status: 200, body: "hello"},
		{name: "panic", handler: func(http.ResponseWriter,
			*http.Request,
		) error {
			panic(http.ErrAbortHandler)
		}, aborted: true},
		{name: "hijack", handler: func(w http.ResponseWriter, _ *http.Request) error {
			return answerHijacked(w.(http.Hijacker).Hijack())(w.Header())
		}, status: 200, body: "hello", http1: true},
		{name: "hijack by the controller", handler: func(w http.ResponseWriter,
			_ *http.Request,
		) error {
			return answerHijacked(http.NewResponseController(w).Hijack())(w.Header())
		}, status: 200, body: "hello", http1: true},
		{name: "switching protocols", handler: func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "echo")
			w.WriteHeader(http.StatusSwitchingProtocols)
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return err
			}
			return conn.Close()
		}, status: 101, http1: true},
	}
	for _, proto := range []int{1, 2} {
		for _, tt := range tests {
			t.Run([]string{1: "HTTP1", 2: "HTTP2"}[proto]+"/"+tt.name, func(t *testing.T) {
				t.Parallel()
				if proto == 2 && tt.http1 {
					t.Skip("HTTP/2 has no such thing")
				}
				filter := mustNew(t, browserid.Config{SecretKey: testSecret})
				server := startServer(t, proto,
					filter(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						w.Header().Add("Set-Cookie", "app=7")
						w.Header().Set("X-App", "x")
						if err := tt.handler(w, r); err != nil {
							t.Error(err)
						}
					})))
				got1xx := 0
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
					Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
						got1xx++
						for _, cookie := range header["Set-Cookie"] {
							if strings.HasPrefix(cookie, "repoze.browserid=") {
								t.Errorf("the cookie left with a %d", code)
							}
						}
						return nil
					},
				})
				method := tt.method
				if method == "" {
					method = http.MethodGet
				}
				request, err := http.NewRequestWithContext(ctx, method, server.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				response, err := server.Client().Do(request)
				if tt.aborted {
					if err == nil {
						_ = response.Body.Close()
						t.Errorf("got %s, want a connection that ends", response.Status)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = response.Body.Close() }()
				var body []byte
				if tt.status != http.StatusSwitchingProtocols {
					if body, err = io.ReadAll(response.Body); err != nil {
						t.Fatal(err)
					}
				}
				if response.ProtoMajor != proto || response.StatusCode != tt.status ||
					string(body) != tt.body || got1xx != tt.want1xx {
					t.Errorf("got %s %d %q, %d informational, want %d %q, %d", response.Proto,
						response.StatusCode, body, got1xx, tt.status, tt.body, tt.want1xx)
				}
				cookies := response.Header["Set-Cookie"]
				if len(cookies) != 2 || cookies[0] != "app=7" || !strings.HasPrefix(cookies[1],
					"repoze.browserid=") {
					t.Errorf("got cookies %q, want the app's and the filter's", cookies)
				}
				if secure := strings.Contains(strings.Join(cookies, ""), "Secure"); secure !=
					(proto == 2) {
					t.Errorf("cookies %q: secure: %v, want it over https alone", cookies, secure)
				}
				if response.Header.Get("X-App") != "x" || response.Trailer.Get("X-Sum") !=
					tt.trailer {
					t.Errorf("got header %v and trailer %v", response.Header, response.Trailer)
				}
			})
		}
	}
}

// answerHijacked answers on the hijacked connection with the header that the handler has set.
func answerHijacked(conn net.Conn, _ *bufio.ReadWriter, err error) func(http.Header) error {
	return func(header http.Header) error {
		if err != nil {
			return err
		}
		response := &http.Response{
			StatusCode: http.StatusOK, ProtoMajor: 1, ProtoMinor: 1, Header: header,
			ContentLength: 5, Body: io.NopCloser(strings.NewReader("hello")),
		}
		return errors.Join(response.Write(conn), conn.Close())
	}
}

func startServer(t *testing.T, proto int, h http.Handler) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	if proto == 2 {
		server.EnableHTTP2 = true
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

// A failed Hijack does not fix the header: the handler may still answer, and read the id.
func TestHijackNotSupported(t *testing.T) {
	t.Parallel()
	recorder := httptest.NewRecorder()
	filter := mustNew(t, browserid.Config{SecretKey: testSecret, Lazy: true})
	filter(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, _, err := w.(http.Hijacker).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("got %v, want http.ErrNotSupported", err)
		}
		ctx, txn := transaction.Begin(r.Context())
		if _, err := renew(ctx); err != nil {
			t.Errorf("renew: %v", err)
		}
		if err := txn.Commit(ctx); err != nil {
			t.Error(err)
		}
		mustID(t, r.Context())
	})).ServeHTTP(recorder, get())
	if recorder.Header().Get("Set-Cookie") == "" {
		t.Error("no cookie was sent")
	}
}

// refusingFlush is a response writer whose flush fails, as that of tm after a conflict.
type refusingFlush struct {
	http.ResponseWriter
	err error
}

func (w refusingFlush) FlushError() error { return w.err }

func TestFlushError(t *testing.T) {
	t.Parallel()
	want := errors.New("can't flush")
	filter := mustNew(t, browserid.Config{SecretKey: testSecret})
	filter(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if err := http.NewResponseController(w).Flush(); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	})).ServeHTTP(refusingFlush{httptest.NewRecorder(), want}, get())
}
