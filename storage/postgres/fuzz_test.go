package postgres_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/storage/postgres"
)

// FuzzGID checks that names of prepared transactions are parsed without loss, and that other names
// are not accepted.
func FuzzGID(f *testing.F) {
	for _, seed := range []string{
		"pasteline:pasteline:TABLES:TRANSACTION:OWNER:DECIDER", "pasteline:p:T:X:O:",
		"pasteline:::::", "pasteline:a:b:c:d", "other", "", "pasteline:a:b:c:d:e:f",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		again, ok := postgres.GID(name)
		if ok && again != name {
			t.Errorf("got %q, want %q", again, name)
		}
		if want := strings.HasPrefix(name, "pasteline:") &&
			strings.Count(name, ":") == 5; ok != want {
			t.Errorf("%q: got %t, want %t", name, ok, want)
		}
	})
}

// FuzzURI checks that canonical forms are stable, and that errors are one line without the
// password.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{
		"postgres://localhost/site",
		"postgresql://u:secret@LOCALHOST:5432/site?sslmode=disable&pool_max_conns=7",
		"postgres:///site?host=/run/postgresql&port=5433",
		"postgres://h/d?schema=a&table_prefix=b_&program=c&two_phase=off&snapshot=first&acquire_timeout=1s",
		"postgres://u:secret@h/d?pool_max_conns=secret", "postgres://u:secret@h:x/d",
		"postgres://[::1]:5432/d", "postgres://h/d?schema=A", "postgres://h/d?a=1&a=2",
		"postgres://h/d?options=-c%20a=b", "postgres://h/d?search_path=a,b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		uri, err := url.Parse(text)
		if err != nil || uri.Scheme != "postgres" && uri.Scheme != "postgresql" {
			t.Skip()
		}
		before := uri.String()
		c, err := postgres.Canonical(uri)
		if uri.String() != before {
			t.Errorf("%s became %s", before, uri)
		}
		if err != nil {
			if password, _ := uri.User.Password(); strings.Contains(err.Error(), "\n") ||
				len(password) > 8 && strings.Contains(err.Error(), password) {
				t.Errorf("%s: got %q, want one line without the password", text, err)
			}
			return
		}
		again, err := postgres.Canonical(c)
		if err != nil || again.String() != c.String() {
			t.Errorf("%s: got %s, and of that %s, %v", text, c, again, err)
		}
	})
}
