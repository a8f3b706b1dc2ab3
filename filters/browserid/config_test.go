package browserid_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pasteline/pasteline/filters/browserid"
	"github.com/pasteline/pasteline/pipeline"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		config browserid.Config
		want   []string // the invalid settings
	}{
		{name: "minimal"},
		{name: "secure prefix", config: browserid.Config{
			CookieName:   "__Secure-id",
			CookieDomain: "example.org", CookiePath: "/sub",
		}},
		{name: "host prefix", config: browserid.Config{
			CookieName:   "__Host-id",
			CookieSecure: browserid.SecureOn,
		}},
		{name: "none and secure", config: browserid.Config{
			CookieSameSite: browserid.SameSiteNone,
			CookieSecure:   browserid.SecureOn,
		}},
		{name: "address as domain", config: browserid.Config{CookieDomain: "127.0.0.1"}},
		{name: "the original's path", config: browserid.Config{
			CookiePath: "/a b/ü",
			Compat:     browserid.CompatRepoze,
		}},

		{name: "no secret", config: browserid.Config{SecretKey: "-"}, want: []string{"secret_key"}},
		{
			name: "two secrets", config: browserid.Config{SecretKeyFile: "f"},
			want: []string{"secret_key_file"},
		},
		{
			name: "three secrets", config: browserid.Config{SecretKeyFile: "f", SecretKeyEnv: "E"},
			want: []string{"secret_key_file"},
		},
		{name: "empty old secret", config: browserid.Config{OldSecretKeys: []pipeline.Secret{
			"a",
			"",
		}}, want: []string{"old_secret_keys"}},
		{
			name: "name with a blank", config: browserid.Config{CookieName: "a b"},
			want: []string{"cookie_name"},
		},
		{
			name: "name with an umlaut", config: browserid.Config{CookieName: "ä"},
			want: []string{"cookie_name"},
		},
		{
			name: "path without slash", config: browserid.Config{CookiePath: "sub"},
			want: []string{"cookie_path"},
		},
		{
			name: "path with attributes", config: browserid.Config{CookiePath: "/; Domain=x"},
			want: []string{"cookie_path"},
		},
		{name: "path with a line", config: browserid.Config{
			CookiePath: "/\r\nX: y",
			Compat:     browserid.CompatRepoze,
		}, want: []string{"cookie_path"}},
		{
			name: "path not ASCII", config: browserid.Config{CookiePath: "/ü"},
			want: []string{"cookie_path"},
		},
		{
			name: "domain with port", config: browserid.Config{CookieDomain: "example.org:80"},
			want: []string{"cookie_domain"},
		},
		{
			name: "domain is a URL", config: browserid.Config{CookieDomain: "https://example.org"},
			want: []string{"cookie_domain"},
		},
		{
			name: "domain with an empty label", config: browserid.Config{CookieDomain: "example..org"},
			want: []string{"cookie_domain"},
		},
		{
			name:   "domain that net/http leaves out",
			config: browserid.Config{CookieDomain: "my_site.example.org"},
			want:   []string{"cookie_domain"},
		},
		{
			name: "the original's domain",
			config: browserid.Config{
				CookieDomain: "my_site.example.org",
				Compat:       browserid.CompatRepoze,
			},
		},
		{name: "domain with a line", config: browserid.Config{
			CookieDomain: "a\nb",
			Compat:       browserid.CompatRepoze,
		}, want: []string{"cookie_domain"}},
		{
			name: "negative lifetime", config: browserid.Config{CookieLifetime: -time.Second},
			want: []string{"cookie_lifetime"},
		},
		{
			name: "half a second", config: browserid.Config{CookieLifetime: time.Second / 2},
			want: []string{"cookie_lifetime"},
		},
		{
			name: "secure", config: browserid.Config{CookieSecure: "perhaps"},
			want: []string{"cookie_secure"},
		},
		{
			name: "none, not secure", config: browserid.Config{CookieSameSite: browserid.SameSiteNone},
			want: []string{"cookie_samesite"},
		},
		{
			name: "unknown samesite", config: browserid.Config{CookieSameSite: "Lax"},
			want: []string{"cookie_samesite"},
		},
		{
			name: "unknown compat", config: browserid.Config{Compat: "python"},
			want: []string{"compat"},
		},
		{name: "secure prefix, not secure", config: browserid.Config{
			CookieName:   "__secure-id",
			CookieSecure: browserid.SecureAuto,
		}, want: []string{"cookie_secure"}},
		{
			name: "host prefix, all conditions violated",
			config: browserid.Config{
				CookieName: "__HOST-id", CookieSecure: browserid.SecureOff, CookiePath: "/sub",
				CookieDomain: "example.org", Compat: "x",
			},
			want: []string{"compat", "cookie_secure", "cookie_path", "cookie_domain"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			switch tt.config.SecretKey {
			case "":
				tt.config.SecretKey = testSecret
			case "-":
				tt.config.SecretKey = ""
			}
			err := tt.config.Validate()
			if _, errNew := browserid.New(tt.config); fmt.Sprint(errNew) != fmt.Sprint(err) {
				t.Errorf("New says %v, Validate says %v", errNew, err)
			}
			var got []string
			if joined, ok := err.(interface{ Unwrap() []error }); ok {
				for _, err := range joined.Unwrap() {
					fault, ok := errors.AsType[*pipeline.Error](err)
					if !ok {
						t.Fatalf("%v is not of a setting", err)
					}
					got = append(got, fault.Key)
				}
			}
			if strings.Join(got, " ") != strings.Join(tt.want, " ") {
				t.Errorf("got faults of %v, want %v: %v", got, tt.want, err)
			}
			if err != nil && strings.Contains(err.Error(), testSecret) {
				t.Errorf("the error contains the secret: %v", err)
			}
		})
	}
}

func TestNewDoesNotPrintSecrets(t *testing.T) {
	t.Parallel()
	c := browserid.Config{SecretKey: testSecret, OldSecretKeys: []pipeline.Secret{testSecret}}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		if text := fmt.Sprintf(format, c); strings.Contains(text, testSecret) {
			t.Errorf("%s prints the secret: %s", format, text)
		}
	}
}

func TestTextOfSettings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]browserid.Toggle{
		"true": browserid.On, "YES": browserid.On, " on ": browserid.On, "y": browserid.On,
		"T": browserid.On, "1": browserid.On,
		"false": browserid.Off, "no": browserid.Off, "off": browserid.Off, "": browserid.Off,
		"auto": browserid.Auto,
	} {
		var got browserid.Toggle
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
		marshalled, err := got.MarshalText()
		var again browserid.Toggle
		if err := errors.Join(err, again.UnmarshalText(marshalled)); err != nil || again != want {
			t.Errorf("%q is read as %q, %v", text, marshalled, err)
		}
	}
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "3600": time.Hour, " 7 ": 7 * time.Second, "24h": 24 * time.Hour,
		"-1": -time.Second,
	} {
		var got browserid.Lifetime
		if err := got.UnmarshalText([]byte(text)); err != nil || time.Duration(got) != want {
			t.Errorf("%q: got %v, %v, want %v", text, time.Duration(got), err, want)
		}
		marshalled, err := got.MarshalText()
		var again browserid.Lifetime
		if err := errors.Join(err, again.UnmarshalText(marshalled)); err != nil || again != got {
			t.Errorf("%q is read as %q, %v", text, marshalled, err)
		}
	}
	for _, text := range []string{"1.5", "x", "1_000", "100ms", "1 h"} {
		if err := new(browserid.Lifetime).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("lifetime %q: no error", text)
		}
	}
	if err := new(browserid.Toggle).UnmarshalText([]byte("perhaps")); err == nil {
		t.Error("toggle: no error")
	}
}
