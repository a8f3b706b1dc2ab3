package myapp

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/internal/picture"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/session"
)

// homePage is the data of the page.
type homePage struct {
	frame

	BrowserID string
	New       bool
	Created   time.Time
	Now       time.Time
	Timeout   time.Duration
	N         int
	HasN      bool // n is in the session
	Shared    uint64
	Items     []item
	Messages  []string
	Token     string
	Entries   []entry
	Draft     entry  // the refused entry, which the form shows again
	Fault     string // the message about it

	MaxName, MaxText, MaxEntries int
	Attempt                      int

	Pipeline *picture.Frame
	Live     bool          // races are shown while they run
	Own      []picture.Row // the last race for the session's counter
	Everyone []picture.Row // and that for the shared one
}

// An item is a key of the session with its value.
type item struct {
	Key   string
	Value any
}

// home shows the page. It only reads, so no session is stored for a browser that does nothing else.
func (a *app) home(w http.ResponseWriter, r *http.Request) error {
	page, err := a.homePage(r)
	if err != nil {
		return err
	}
	return a.pages.show(w, http.StatusOK, "page.html", page)
}

func (a *app) homePage(r *http.Request) (*homePage, error) {
	s, err := a.session(r)
	if err != nil {
		return nil, err
	}
	id, _ := browserid.FromContext(r.Context())
	page := &homePage{
		frame:      newFrame(r, "Pasteline: the tutorial"),
		BrowserID:  id.Short(),
		New:        s.IsNew(),
		Created:    s.Created(),
		Now:        time.Now(),
		Timeout:    a.settings.Timeout,
		MaxName:    maxName,
		MaxText:    maxText,
		MaxEntries: maxEntries,
		Attempt:    attempt(r),
		Pipeline:   a.pipeline,
		Live:       a.races != nil,
		Own:        draw(a.races.last(browserOf(r))),
		Everyone:   draw(a.races.last(everyone)),
	}
	if page.Messages, err = s.PopFlash(""); err != nil {
		return nil, err
	}
	page.Token = formToken(r)
	if page.N, page.HasN, err = session.Get[int](s, "n"); err != nil {
		return nil, err
	}
	if page.Items, err = items(s); err != nil {
		return nil, err
	}
	counters, err := a.db.Bucket(r.Context(), counterBucket)
	if err != nil {
		return nil, err
	}
	// The counter is only shown. It is read from a snapshot, as a change of it need not conflict
	// with this request, which may write: it removes the messages.
	if page.Shared, err = counter(counters.Snapshot(), sharedKey); err != nil {
		return nil, err
	}
	page.Entries, err = a.entries(r)
	return page, err
}

// items returns the items of the session, by key.
func items(s *session.Session) ([]item, error) {
	keys, err := s.Keys()
	if err != nil {
		return nil, err
	}
	list := make([]item, 0, len(keys))
	for _, key := range keys {
		value, _, err := session.Get[any](s, key)
		if _, damaged := errors.AsType[*session.RecordError](err); damaged {
			value, err = "(can't be read)", nil
		}
		if err != nil {
			return nil, err
		}
		list = append(list, item{key, value})
	}
	return list, nil
}

// formToken returns a token against cross-site request forgery. It is derived from the browser's
// id, which a page of another site does not know, so it need not be stored. (An app that writes to
// the session anyway uses its CSRFToken.)
func formToken(r *http.Request) string {
	id, _ := browserid.FromContext(r.Context())
	sum := sha256.Sum256([]byte("myapp: forms of " + string(id)))
	return hex.EncodeToString(sum[:16])
}

// forget ends the session, as a log-out does.
func (a *app) forget(w http.ResponseWriter, r *http.Request) error {
	s, ok, err := a.form(w, r)
	if err != nil || !ok {
		return err
	}
	if err := s.Invalidate(); err != nil {
		return err
	}
	http.Redirect(w, r, mount.Join(r.Context(), "/"), http.StatusSeeOther)
	return nil
}

// maxForm is the largest form in bytes: the longest entry with every character percent-encoded, and
// the token.
const maxForm = 16 << 10

// form parses a form and checks that it was sent by a page of this app. If not, it writes an answer
// and returns ok = false.
func (a *app) form(
	w http.ResponseWriter, r *http.Request,
) (s *session.Session, ok bool, err error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			err = a.message(w, r, http.StatusRequestEntityTooLarge, "The form is too large",
				"The form has more data than this page can send.")
			return nil, false, err
		}
		err = a.message(w, r, http.StatusBadRequest, "The form can't be read",
			"The data of the request is not a valid form.")
		return nil, false, err
	}
	s, err = a.session(r)
	if err != nil {
		return nil, false, err
	}
	if subtle.ConstantTimeCompare([]byte(r.PostForm.Get("csrf_token")), []byte(formToken(r))) == 1 {
		return s, true, nil
	}
	a.refused(r, "the token in the form is not the browser's",
		slog.String("session", s.Ref()), slog.Bool("new", s.IsNew()))
	err = a.message(w, r, http.StatusForbidden, "The form has expired",
		"Your browser got a new id after the page was loaded. "+
			"Go back, reload the page, and send the form again.")
	return nil, false, err
}

// crossOrigin answers a request that a browser sent for a page of another site.
func (a *app) crossOrigin(w http.ResponseWriter, r *http.Request) error {
	a.refused(r, "cross-origin request detected",
		slog.String("origin", r.Header.Get("Origin")), slog.String("host", r.Host))
	return a.message(w, r, http.StatusForbidden, "The form came from another site",
		"This site accepts forms from its own pages only.")
}

// refused logs the reason why a form is refused, if debug_authorization is set.
func (a *app) refused(r *http.Request, reason string, attrs ...slog.Attr) {
	if a.settings.DebugAuthorization {
		attrs = append([]slog.Attr{
			slog.String("reason", reason),
			slog.String("path", r.URL.Path),
		}, attrs...)
		a.logger.LogAttrs(r.Context(), slog.LevelInfo, "a form was refused", attrs...)
	}
}

// messagePage is the data of a page with one message.
type messagePage struct {
	frame

	Status int
	Text   string
	Routes []string
}

func (a *app) message(
	w http.ResponseWriter, r *http.Request, status int, title, text string,
) error {
	page := messagePage{frame: newFrame(r, title), Status: status, Text: text}
	return a.pages.show(w, status, "message.html", page)
}

// notFound answers unknown addresses; with debug_notfound it lists the known ones.
func (a *app) notFound(routes chi.Routes) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		page := messagePage{
			frame:  newFrame(r, "Page not found"),
			Status: http.StatusNotFound,
			Text: fmt.Sprintf("This site has no page at %s%s.",
				mount.FromContext(r.Context()), r.URL.Path),
		}
		if a.settings.DebugNotfound {
			err := chi.Walk(routes, func(
				method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler,
			) error {
				page.Routes = append(page.Routes, method+" "+route)
				return nil
			})
			if err != nil {
				return err
			}
			slices.SortFunc(page.Routes, func(a, b string) int {
				_, a, _ = strings.Cut(a, " ")
				_, b, _ = strings.Cut(b, " ")
				return cmp.Compare(a, b)
			})
		}
		return a.pages.show(w, http.StatusNotFound, "message.html", page)
	}
}

// methodNotAllowed answers requests with a wrong method, and lists the allowed ones.
func (a *app) methodNotAllowed(routes chi.Routes) func(http.ResponseWriter, *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		path := cmp.Or(r.URL.RawPath, r.URL.Path)
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if routes.Match(chi.NewRouteContext(), method, path) {
				allowed = append(allowed, method)
			}
			if method == http.MethodGet && len(allowed) > 0 {
				allowed = append(allowed, http.MethodHead)
			}
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		return a.message(w, r, http.StatusMethodNotAllowed, "Method not allowed",
			fmt.Sprintf("This address does not accept %s, only %s.",
				r.Method, strings.Join(allowed, " and ")))
	}
}

// ago returns the distance of then from now in words, such as "5 minutes ago".
func ago(now, then time.Time) string {
	switch d := now.Sub(then); {
	case d < 2*time.Second:
		return "just now"
	case d < 48*time.Hour:
		return words(d) + " ago"
	default:
		return then.Format("on 2 January 2006")
	}
}

// words returns a duration in words, in one unit, such as "20 minutes".
func words(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return plural(int(d.Seconds()), "second")
	case d < 2*time.Hour:
		return plural(int(d.Minutes()), "minute")
	default:
		return plural(int(d.Hours()), "hour")
	}
}

// plural returns a count with its noun, such as "2 attempts".
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
