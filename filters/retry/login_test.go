package retry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/filters/retry"
	"github.com/pasteline/pasteline/filters/tm"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

// A shop has carts, log-ins and log-outs. Requests with the same value of meet wait for each other
// in their first attempts, after each has read the session.
type shop struct {
	sessions *session.Manager
	met      sync.Map
}

func newShop(t *testing.T) *shop {
	t.Helper()
	db := memory.New("shop")
	t.Cleanup(func() { _ = db.Close() })
	sessions, err := session.NewManager(db, session.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return &shop{sessions: sessions}
}

// meet waits for the other of two requests, except in a further attempt.
func (s *shop) meet(r *http.Request) {
	name := r.FormValue("meet")
	if attempt, ok := transaction.AttemptFromContext(r.Context()); name == "" || ok &&
		attempt.Number > 1 {
		return
	}
	mine := make(chan struct{})
	if first, met := s.met.LoadOrStore(name, mine); met {
		close(first.(chan struct{}))
		return
	}
	<-mine
}

func (s *shop) serve(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	visit, err := s.sessions.Get(ctx)
	if err != nil {
		return err
	}
	cart, _, err := session.Get[string](visit, "cart")
	if err != nil {
		return err
	}
	s.meet(r)
	switch r.URL.Path {
	case "/add":
		return visit.Set("cart", cart+r.FormValue("add"))
	case "/login":
		var options []session.RenewOption
		if user := r.FormValue("as"); user != "" {
			options = append(options, session.As(user))
		}
		if err := s.sessions.Renew(ctx, options...); err != nil {
			return err
		}
		return visit.Set("login", true)
	case "/logout":
		return visit.Invalidate()
	}
	login, _, err := session.Get[bool](visit, "login")
	fmt.Fprintf(w, "%s %t", cart, login)
	return err
}

// send sends a request with a cookie, and returns the status, the text, and the browser's cookie
// afterwards.
func send(t *testing.T, h http.Handler, path, cookie string) (status int, text, next string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
	if cookie != "" {
		r.Header.Set("Cookie", cookie)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	answer := w.Result()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Error(err)
	}
	if set := answer.Header.Get("Set-Cookie"); set != "" {
		cookie, _, _ = strings.Cut(set, ";")
	}
	return answer.StatusCode, string(body), cookie
}

// both sends two requests of one browser that are in the handler at the same time.
func both(t *testing.T, h http.Handler, first, second, meet, cookie string) (statuses [2]int,
	cookies [2]string,
) {
	t.Helper()
	var all sync.WaitGroup
	for i, path := range []string{first, second} {
		all.Go(func() { statuses[i], _, cookies[i] = send(t, h, path+"meet="+meet, cookie) })
	}
	all.Wait()
	return statuses, cookies
}

// After two concurrent log-ins, whichever answer arrives last, the browser has its cart and is
// logged in.
func TestConcurrentLogins(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"/login?", "/login?as=ann&"} {
		s := newShop(t)
		h := composed(t, retry.Config{}, tm.Config{})(handler.Func(s.serve))
		for round := range 50 {
			_, _, cookie := send(t, h, "/add?add=book", "")
			statuses, cookies := both(t, h, login, login, fmt.Sprint(round), cookie)
			for i, c := range cookies {
				if _, text, _ := send(t, h, "/", c); statuses[i] != 200 || text != "book true" ||
					c == cookie {
					t.Fatalf("%s: round %d: got %v, and with the cookie of answer %d %q", login,
						round, statuses, i+1, text)
				}
			}
			if one := strings.Contains(login, "as="); one !=
				(idOf(cookies[0]) == idOf(cookies[1])) {
				t.Errorf("%s: round %d: one session: %t, want %t", login, round, !one, one)
			}
			if _, text, _ := send(t, h, "/", cookie); text != " false" {
				t.Errorf("%s: with the old cookie: got %q", login, text)
			}
		}
	}
}

// idOf returns the id in a cookie.
func idOf(cookie string) string {
	_, value, _ := strings.Cut(cookie, "=")
	id, _, _ := strings.Cut(value, ".")
	return id
}

// A write that is in flight while a log-in commits is part of the renewed session, or refused.
func TestConcurrentWriteAndLogin(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	h := composed(t, retry.Config{}, tm.Config{})(handler.Func(s.serve))
	refused := 0
	for round := range 100 {
		_, _, cookie := send(t, h, "/add?add=a", "")
		statuses, cookies := both(t, h, "/add?add=b&", "/login?", fmt.Sprint(round), cookie)
		_, text, _ := send(t, h, "/", cookies[1])
		want := map[int]string{200: "ab true", 409: "a true"}[statuses[0]]
		if statuses[1] != 200 || text != want {
			t.Fatalf("round %d: got %v, and then %q, want %q", round, statuses, text, want)
		}
		if statuses[0] == 409 {
			refused++
			if status, _, _ := send(t, h, "/add?add=b", cookies[1]); status != 200 {
				t.Errorf("sent again: got %d", status)
			}
		}
	}
	t.Log("refused", refused, "of 100")
}

// A log-out that runs at the same time as a log-in or a write takes effect if it is acknowledged.
func TestConcurrentLogout(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	h := composed(t, retry.Config{}, tm.Config{})(handler.Func(s.serve))
	for round := range 50 {
		_, _, cookie := send(t, h, "/add?add=a", "")
		statuses, cookies := both(t, h, "/logout?", "/login?", fmt.Sprint("login", round), cookie)
		_, text, _ := send(t, h, "/", cookies[1])
		if want := map[int]string{200: " true", 409: "a true"}[statuses[0]]; statuses[1] != 200 ||
			text != want {
			t.Fatalf("log-in: round %d: got %v, and then %q, want %q", round, statuses, text, want)
		}

		_, _, cookie = send(t, h, "/add?add=a", "")
		statuses, cookies = both(t, h, "/logout?", "/add?add=b&",
			fmt.Sprint("write", round), cookie)
		if _, text, _ := send(t, h, "/", cookies[1]); statuses != [2]int{200, 200} ||
			text != "b false" && text != " false" {
			t.Fatalf("write: round %d: got %v, and then %q", round, statuses, text)
		}
	}
}

// Without tm, a renewal is part of a transaction that the handler runs: after its commit the new id
// stays, even if the attempt fails and is run again. Without any transaction, the error of Renew
// says what to do.
func TestRenewWithoutTM(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	identify, err := browserid.New(browserid.Config{SecretKey: "0123456789abcdef0123456789abcdef"})
	if err != nil {
		t.Fatal(err)
	}
	h := identify(mustRetry(t,
		retry.Config{})(handler.Func(func(w http.ResponseWriter, r *http.Request) error {
		if r.URL.Path == "/bare" {
			return s.sessions.Renew(r.Context())
		}
		if err := transaction.Run(r.Context(),
			func(ctx context.Context) error { return s.serve(w, r.WithContext(ctx)) }); err != nil {
			return err
		}
		if attempt, _ := transaction.AttemptFromContext(r.Context()); r.URL.Path == "/login" &&
			attempt.Number < 3 {
			return transaction.Transient(errors.New("busy"))
		}
		return nil
	})))
	_, _, cookie := send(t, h, "/add?add=book", "")
	if status, _, next := send(t, h, "/bare", cookie); status != 500 || next != cookie {
		t.Errorf("without a transaction: got %d and %q", status, next)
	}
	status, _, next := send(t, h, "/login?", cookie)
	if _, text, _ := send(t, h, "/", next); status != 200 || next == cookie || text != "book true" {
		t.Errorf("got %d, and then %q", status, text)
	}
}

// A browser sends log-ins of one user, and writes, from several tabs, each with its current cookie.
// Whatever cookie the browser has at the end, the next log-in finds all acknowledged writes,
// however often the session was renewed after that cookie.
func TestManyLoginsOfOneUser(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	// In each attempt the session may have a newer id, for whose records the request has not queued
	// yet.
	h := composed(t, retry.Config{Tries: 10}, tm.Config{})(handler.Func(s.serve))
	for round := range 50 {
		_, _, cookie := send(t, h, "/add?add=[first]", "")
		var mu sync.Mutex // guards the following two variables
		kept, cookies := []string{"[first]"}, []string{cookie}
		var tabs sync.WaitGroup
		for tab := range 3 {
			tabs.Go(func() {
				for i := range 6 {
					mu.Lock()
					has := cookies[len(cookies)-1]
					mu.Unlock()
					item, path := "", "/login?as=ann"
					if (tab+i+round)%2 == 0 {
						item = fmt.Sprintf("[%d.%d]", tab, i)
						path = "/add?add=" + item
					}
					status, _, next := send(t, h, path, has)
					mu.Lock()
					if cookies = append(cookies, next); status == 200 && item != "" {
						kept = append(kept, item)
					}
					mu.Unlock()
					if status != 200 && (status != 409 || item == "") {
						t.Errorf("%s: got %d", path, status)
					}
				}
			})
		}
		tabs.Wait()
		for i, c := range cookies {
			_, _, now := send(t, h, "/login?as=ann", c)
			_, text, _ := send(t, h, "/", now)
			for _, item := range kept {
				if !strings.Contains(text, item) {
					t.Fatalf("round %d: after a log-in with cookie %d of %d: got %q, want %s, too",
						round, i, len(cookies), text, item)
				}
			}
		}
	}
}
