package browserid_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/pipeline"
)

func TestRotation(t *testing.T) {
	t.Parallel()
	for _, compat := range []browserid.Compat{browserid.CompatNone, browserid.CompatRepoze} {
		before := mustNew(t, browserid.Config{
			SecretKey: "the first secret there was",
			Compat:    compat,
		})
		now := mustNew(t, browserid.Config{
			SecretKey:     "a newer secret",
			OldSecretKeys: []pipeline.Secret{"other", "the first secret there was"},
			Compat:        compat,
		})
		later := mustNew(t, browserid.Config{SecretKey: "a newer secret", Compat: compat})

		first := visitWith(t, before, get())
		second := visitWith(t, now, get(first.cookie()))
		if second.id != first.id || second.setCookie == "" {
			t.Fatalf("%s: old key: id %q, cookie %q, want id %q and a cookie of the new key",
				compat, second.id, second.setCookie, first.id)
		}
		if third := visitWith(t, now, get(second.cookie())); third.id != first.id ||
			third.setCookie != "" {
			t.Errorf("%s: new key: id %q, cookie %q", compat, third.id, third.setCookie)
		}
		if third := visitWith(t, later, get(second.cookie())); third.id != first.id {
			t.Errorf("%s: old key removed: the browser got a new id", compat)
		}
		if third := visitWith(t, later, get(first.cookie())); third.id == first.id {
			t.Errorf("%s: old key removed: its cookie is still accepted", compat)
		}
	}
}

func TestSecretSources(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "secret")
	if err := os.WriteFile(file, []byte("\n  new secret of the file\r\nold secret\n\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BROWSERID_TEST_SECRET", "new secret of the file\nold secret")
	old := visitWith(t, mustNew(t, browserid.Config{SecretKey: "old secret"}), get())
	young := visitWith(t, mustNew(t, browserid.Config{SecretKey: "new secret of the file"}), get())
	for _, c := range []browserid.Config{
		{SecretKeyFile: file},
		{SecretKeyEnv: "BROWSERID_TEST_SECRET"},
	} {
		filter := mustNew(t, c)
		if got := visitWith(t, filter, get(young.cookie())); got.id != young.id ||
			got.setCookie != "" {
			t.Errorf("%+v: the first key does not sign: %+v", c, got)
		}
		if got := visitWith(t, filter, get(old.cookie())); got.id != old.id || got.setCookie == "" {
			t.Errorf("%+v: the second key does not verify: %+v", c, got)
		}
	}
}

func TestPlaceholders(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{
		"my-secret-key", "secret", "CHANGEME", "change-me",
		"<your secret key>", "itsaseekreet",
	} {
		if !browserid.IsPlaceholder(secret) {
			t.Errorf("%q is accepted", secret)
		}
	}
	for _, secret := range []string{testSecret, "my-secret-key-7", "x"} {
		if browserid.IsPlaceholder(secret) {
			t.Errorf("%q counts as a placeholder", secret)
		}
	}
}
