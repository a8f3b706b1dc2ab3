package session_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/session"
)

func TestFlash(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "id")
		must(t, s.Flash("saved", ""))
		must(t, s.Flash("saved", ""))
		must(t, s.FlashOnce("saved", ""))
		must(t, s.FlashOnce("careful", "warn"))
	})
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "id")
		if keys, err := s.Keys(); err != nil || !cmp.Equal(keys, []string{"_f_", "_f_warn"}) {
			t.Errorf("keys: got %q, %v, want Pyramid's", keys, err)
		}
		for range 2 {
			if got, err := s.PeekFlash(""); err != nil ||
				!cmp.Equal(got, []string{"saved", "saved"}) {
				t.Errorf("PeekFlash: got %q, %v", got, err)
			}
		}
		if got, err := s.PopFlash(""); err != nil || !cmp.Equal(got, []string{"saved", "saved"}) {
			t.Errorf("PopFlash: got %q, %v", got, err)
		}
		if got, err := s.PopFlash(""); err != nil || len(got) != 0 {
			t.Errorf("PopFlash again: got %q, %v", got, err)
		}
		if got, err := s.PopFlash("warn"); err != nil || !cmp.Equal(got, []string{"careful"}) {
			t.Errorf("PopFlash of another queue: got %q, %v", got, err)
		}
	})
}

func TestCSRFToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t, session.Config{})
	var token string
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "id")
		if ok, err := s.CheckCSRFToken(""); ok || err != nil {
			t.Errorf("a session without a token accepts none: got %t, %v", ok, err)
		}
		var err error
		token, err = s.CSRFToken()
		must(t, err)
		if again, err := s.CSRFToken(); again != token || err != nil || len(token) < 20 {
			t.Errorf("CSRFToken: got %q, %v, then %q", token, err, again)
		}
	})
	do(t, func(ctx context.Context) {
		s := f.get(ctx, t, "id")
		for candidate, want := range map[string]bool{token: true, token + "x": false, "": false} {
			if ok, err := s.CheckCSRFToken(candidate); ok != want || err != nil {
				t.Errorf("CheckCSRFToken(%q): got %t, %v, want %t", candidate, ok, err, want)
			}
		}
		if next, err := s.NewCSRFToken(); next == token || err != nil {
			t.Errorf("NewCSRFToken: got %q, %v", next, err)
		}
		if ok, _ := s.CheckCSRFToken(token); ok {
			t.Error("the old token is still accepted")
		}
		if ok, _ := s.Has("_csrft_"); !ok {
			t.Error("the token is not kept where Pyramid keeps it")
		}
	})
}

// Pages work although a key of this package holds a damaged value or one of another type.
func TestFlashOverAnotherType(t *testing.T) {
	t.Parallel()
	put := map[string]func(s *session.Session, key string) error{
		"a string": func(s *session.Session, key string) error { return s.Set(key, "x") },
		"a number": func(s *session.Session, key string) error { return s.Set(key, 1) },
		"a map": func(s *session.Session, key string) error {
			return s.Set(key,
				map[string]int{"a": 1})
		},
		"a damaged": func(s *session.Session, key string) error {
			return s.PutItem(key,
				[]byte{0, 'X'})
		},
	}
	for name, put := range put {
		f := newFixture(t, session.Config{})
		do(t, func(ctx context.Context) {
			s := f.get(ctx, t, "id")
			for _, queue := range []string{"added", "popped", "peeked"} {
				must(t, put(s, "_f_"+queue))
			}
			must(t, s.FlashOnce("hello", "added"))
			if got, err := s.PopFlash("added"); err != nil || !cmp.Equal(got, []string{"hello"}) {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
			if got, err := s.PopFlash("popped"); err != nil || len(got) != 0 {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
			if got, err := s.PeekFlash("peeked"); err != nil || len(got) != 0 {
				t.Errorf("%s: got %q, %v", name, got, err)
			}
			if name == "a string" {
				return
			}
			must(t, put(s, "_csrft_"))
			if ok, err := s.CheckCSRFToken("x"); ok || err != nil {
				t.Errorf("%s: CheckCSRFToken: got %t, %v", name, ok, err)
			}
			token, err := s.CSRFToken()
			must(t, err)
			if ok, err := s.CheckCSRFToken(token); !ok || err != nil {
				t.Errorf("%s: the new token: got %t, %v", name, ok, err)
			}
		})
	}
}
