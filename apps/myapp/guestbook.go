package myapp

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/storage"
)

// Limits of the guest book: characters, and the number of entries that are stored and shown.
const (
	maxName    = 40
	maxText    = 280
	maxEntries = 20
)

const bookBucket = "guestbook"

// An entry is a record of the guest book. Its key is its number: eight bytes, big endian.
type entry struct {
	Name string    `json:"name"`
	Text string    `json:"text"`
	Time time.Time `json:"time"`
}

// entries returns the guest book, newest first. It reads a snapshot, so that the page does not
// conflict with requests that add an entry.
func (a *app) entries(r *http.Request) ([]entry, error) {
	book, err := a.db.Bucket(r.Context(), bookBucket)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for it, err := range book.Snapshot().Range(storage.Range{Reverse: true}) {
		if err != nil {
			return nil, err
		}
		var e entry
		if err := json.Unmarshal(it.Value, &e); err != nil {
			return nil, fmt.Errorf("guest book entry %x is damaged: %w", it.Key, err)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// sign adds an entry to the guest book.
func (a *app) sign(w http.ResponseWriter, r *http.Request) error {
	s, ok, err := a.form(w, r)
	if err != nil || !ok {
		return err
	}
	e := entry{
		Name: tidy(r.PostForm.Get("name")),
		Text: tidy(r.PostForm.Get("text")),
		Time: time.Now().UTC().Truncate(time.Second),
	}
	if fault := e.fault(); fault != "" {
		page, err := a.homePage(r)
		if err != nil {
			return err
		}
		page.Draft, page.Fault = e, fault
		return a.pages.show(w, http.StatusUnprocessableEntity, "page.html", page)
	}
	book, err := a.db.Bucket(r.Context(), bookBucket)
	if err != nil {
		return err
	}
	counters, err := a.db.Bucket(r.Context(), counterBucket)
	if err != nil {
		return err
	}
	if err := add(counters, book, e); err != nil {
		return err
	}
	if err := s.FlashOnce("Thank you, "+e.Name+". Your entry was added.", ""); err != nil {
		return err
	}
	http.Redirect(w, r, mount.Join(r.Context(), "/#guestbook"), http.StatusSeeOther)
	return nil
}

// add stores the entry under the next number, and deletes the oldest if there are too many.
// Concurrent calls conflict on one key, the number, and so queue for that key. If they read the
// range of the entries instead, each would also conflict with requests that delete an entry.
func add(counters, book storage.Bucket, e entry) error {
	last, err := counter(counters, bookKey)
	if err != nil {
		return err
	}
	number := last + 1
	if err := setCounter(counters, bookKey, number); err != nil {
		return err
	}
	if number > maxEntries {
		if err := book.Delete(entryKey(number - maxEntries)); err != nil {
			return err
		}
	}
	record, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return book.Put(entryKey(number), record)
}

func entryKey(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }

// fault returns a message about an invalid entry, or "" if it is valid.
func (e entry) fault() string {
	switch {
	case !visible(e.Name) || !visible(e.Text):
		return "An entry needs a name and a text."
	case utf8.RuneCountInString(e.Name) > maxName:
		return fmt.Sprintf("A name has at most %d characters.", maxName)
	case utf8.RuneCountInString(e.Text) > maxText:
		return fmt.Sprintf("An entry has at most %d characters.", maxText)
	}
	return ""
}

// visible reports whether a text has a visible character; accents and joiners alone don't count.
func visible(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsGraphic(r) && !unicode.IsSpace(r) && !unicode.IsMark(r)
	})
}

// tidy returns the text on one line, without control characters.
func tidy(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Bidi_Control, r), r == utf8.RuneError:
			return -1
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}
