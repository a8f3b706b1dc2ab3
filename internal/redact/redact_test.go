package redact_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/pasteline/pasteline/internal/redact"
)

func TestIsSecretKey(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		"secret": true, "secret_key": true, "session.secret": true, "SecretKey": true, "clientSecret": true, "client-secret": true,
		"password": true, "db_password": true, "dbpassword": true, "smtp password": true, "passwd": true, "pw": true,
		"token": true, "access_token": true, "accesstoken": true, "api_key": true, "apikey": true, "key": true, "key2": true, "secrets": true,
		"beaker.session.encrypt_key": true, "credentials": true,
		"secret_key_file": false, "secret_key_env": false, "token_header": false, "password_length": false, "key_id": false,
		"ENV_CREDENTIALS_DIRECTORY": false, "secrets_folder": false,
		"keyboard": false, "monkey": false, "passenger": false, "compass": false, "tokenizer": false, "debug_authorization": false,
		"": false, "newkey": false, "key with spaces": false, "port": false,
	} {
		if got := redact.IsSecretKey(key); got != want {
			t.Errorf("%q: %v, want %v", key, got, want)
		}
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"plain text": "plain text",
		"postgres://joe:hunter2@db.example.org/wiki?sslmode=require": "postgres://***@db.example.org/wiki?sslmode=require",
		"host=db user=joe password=hunter2 dbname=wiki":              "host=db user=joe password=*** dbname=wiki",
		"redis://a/0 redis://:hunter2@b/1":                           "redis://a/0 redis://***@b/1",
		"redis://a/?x redis://:hunter2@b/1":                          "redis://a/?x redis://***@b/1",
		"bolt:///var/lib/data.db":                                    "bolt:///var/lib/data.db",
		"http://api?token=hunter2":                                   "http://api?token=***",
		"joe@example.org":                                            "joe@example.org",
	} {
		if got := redact.Value("", value); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
}

func TestIsPasswordKey(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]bool{
		"password": true, "secret_key": true, "api_token": true, "tls_key": false, "keys": false, "sort_key2": false, "password_file": false,
	} {
		if got := redact.IsPasswordKey(key); got != want {
			t.Errorf("%q: %v, want %v", key, got, want)
		}
	}
}

// A key that says where a secret is may hold the secret.
func TestMisplaced(t *testing.T) {
	t.Parallel()
	for key, values := range map[string]map[string]bool{
		"secret_key_file": {
			"/etc/site/secret": true, "./secret": true, "secret": true, "../keys/site.key": true, `C:\site\secret.txt`: true, "conf/secret": true,
			"hunter2": false, "swordfish": false, "/5f4dcc3b5aa765d61d8327deb882cf99": false, "aGVs/bG8gd2": false, "k3/9fJxQz7bV=": false,
		},
		"ENV_CREDENTIALS_DIRECTORY": {
			"/run/credentials/site.service": true, "/run/user/1000/credentials/site@two.service": true, `C:\site\secrets`: true,
			"hunter2": false, "k3/9fJxQz7bV=": false,
		},
		"secret_key_env": {
			"SITE_SECRET": true, "SECRET": true, "MY_APP_2_KEY": true,
			"hunter2": false, "site_secret": false, "HUNTER2": false, "5F4DCC3B5AA765D61D8327DEB882CF99": false,
		},
	} {
		for value, shown := range values {
			if got := redact.Value(key, value); got == value != shown || !shown && got != redact.Hidden {
				t.Errorf("%s = %s: %q", key, value, got)
			}
		}
	}
}

// Prose stays what it is, apart from what it quotes.
func TestText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`write "key = value", or indent it`:                      `write "key = value", or indent it`,
		`unknown setting "secret": have a, b`:                    `unknown setting "secret": have a, b`,
		"password authentication failed for user \"site\"":       "password authentication failed for user \"site\"",
		"cannot parse `postgres://u:p@h/d`: failed to configure": "cannot parse `postgres://***@h/d`: failed to configure",
		"dsn u:p@tcp(h:1)/d is wrong":                            "dsn ***@tcp(h:1)/d is wrong",
		`{"password": "a b", "x": 1}`:                            `{"password": ***, "x": 1}`,
		"host=h password='a b' user=u":                           "host=h password=*** user=u",
		"site.ini:3: mail joe@example.org":                       "site.ini:3: mail joe@example.org",
	} {
		if got := redact.Text(text); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func FuzzSecrets(f *testing.F) {
	f.Add("zodb_uri", "postgres://u:p@h/d?sslpassword=x", "failed: p")
	f.Add("", "password='a\\' b' {", `"token": "`)
	f.Fuzz(func(t *testing.T, key, value, text string) {
		var known redact.Secrets
		known.Add(key, value)
		known.AddSecret(value)
		if len(value) >= 8 && !strings.ContainsAny(value, "\n\r \t") && strings.Contains(known.Hide("it is "+value+" there"), value) && !strings.Contains(redact.Hidden, value) && utf8.ValidString(value) {
			switch strings.ToLower(value) { // words that are no secrets
			case "password", "passwords", "passphrase", "credential", "credentials":
			default:
				if strings.TrimSpace(value) == value {
					t.Errorf("%q is shown", value)
				}
			}
		}
		_, _, _, _ = known.Hide(text), known.Value(key, text), redact.Key(text), redact.Name(key, text)
	})
}

func TestURI(t *testing.T) {
	t.Parallel()
	for uri, want := range map[string]string{
		"bolt:///a/b.db":                      "bolt:///a/b.db",
		"bolt:///home/a@b/data.db":            "bolt:///home/a@b/data.db",
		"pg://host/db":                        "pg://host/db",
		"pg://u@host/db":                      "pg://***@host/db",
		"pg://u:p@host/db":                    "pg://***@host/db",
		"pg://u:p@ss@host/db":                 "pg://***@host/db",
		"pg://u:p/w@host/db":                  "pg://***@host/db",
		"pg://u:p%zz@host/db":                 "pg://***@host/db",
		"pg://host/db?x=1&sslpassword=p&y=ab": "pg://host/db?x=1&sslpassword=***&y=ab",
		"pg://host/db?x=1&y=a@b":              "pg://***@b", // a password may have a question mark
		"pg://u:p#a?b@c/d@host/db":            "pg://***@host/db",
		"pg://u:12?a=b@host/db":               "pg://***@host/db",
		"pg://host/db?sslpassword=p#q@r":      "pg://***",
		"pg://host/db?sslpassword=p&q&x=1":    "pg://host/db?sslpassword=***&x=1",
		"host=h password='p q\\' r' user=u":   "host=h password=*** user=u",
		"host=h password = p q user=u":        "host=h password = *** user=u",
		"u:p@tcp(h:1)/db":                     "***@tcp(h:1)/db",
		"pg://host/db?Secret_Key=p":           "pg://host/db?Secret_Key=***",
		"":                                    "",
		"u:p@host":                            "***@host",
	} {
		if got := redact.Value("", uri); got != want {
			t.Errorf("%q: got %q, want %q", uri, got, want)
		}
	}
}
