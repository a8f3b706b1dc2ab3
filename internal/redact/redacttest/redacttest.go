// Package redacttest has .ini files with secrets in all the places where they occur in practice.
// Tests use it to verify that the output of a program about such a file contains none of its
// secrets.
//
//	for _, c := range redacttest.Cases() {
//		output := …(c.INI)
//		if found := c.Found(output); found != "" {
//			t.Errorf("%s: %q is shown", c.Name, found)
//		}
//	}
package redacttest

import "strings"

// A Case is a file, with or without faults.
type Case struct {
	Name    string
	INI     string
	Secrets []string // texts that must not be shown
}

// Found returns the first of the secrets that text contains, or "".
func (c Case) Found(text string) string {
	for _, secret := range c.Secrets {
		if strings.Contains(strings.ToLower(text), strings.ToLower(secret)) {
			return secret
		}
	}
	return ""
}

// Mark is in every part of most secrets, so that a part is found too.
const Mark = "xyzzy"

// Env has variables that the files refer to, with their secret values.
var Env = map[string]string{
	"SITE_DB_PASSWORD": "xyzzy-of-the-environment",
	"SITE_URI":         "postgres://site:xyzzy@127.0.0.1:1/site",
}

const (
	hexKey    = "5f4dcc3b5aa765d61d8327deb882cf995f4dcc3b5aa765d61d8327deb882cf99"
	base64Key = "k3/9fJxQz7bVt0Ld+Wm5sYc2PaRgH8uE4oNiKj6TqXw="
)

// Cases returns all cases.
func Cases() []Case {
	return append(append(databases(), secrets()...), others()...)
}

// site returns a file with lines for the app, the filter browserid, and [DEFAULT].
func site(app, filter, defaults string) string {
	return "[DEFAULT]\ndebug = true\n" + defaults +
		"\n[app:main]\nuse = egg:myapp#app\nfilter-with = browserid\n" + app +
		"\n[filter:browserid]\nuse = egg:repoze.browserid#browserid\n" + filter +
		"\n[server:main]\nuse = egg:Paste#http\nhost = 127.0.0.1\nport = 0\n"
}

const (
	goodApp    = "zodb_uri = memory://redacttest\n"
	goodFilter = "secret_key = 0123456789abcdef-xyzzy-fedcba9876543210\n"
)

// databases returns cases with a secret in the URI of a database.
func databases() []Case {
	values := map[string]string{
		"libpq": "host=127.0.0.1 port=1 user=site password=xyzzy " +
			"dbname=site",
		"libpq quoted": `host=127.0.0.1 port=1 password='xyzzy xyzzy\' ` +
			`xyzzy' user=site`,
		"libpq with blanks":       "host = 127.0.0.1 port = 1 password = xyzzy user = site",
		"libpq passfile":          "host=127.0.0.1 passfile=/tmp/xyzzy sslpassword=xyzzy",
		"no scheme":               "site:xyzzy@127.0.0.1/site",
		"no scheme, no user":      ":xyzzy@127.0.0.1:6379/0",
		"no scheme, odd password": "site:xyzzy@xyzzy/xyzzy?xyzzy#xyzzy@127.0.0.1/site",
		"no scheme, blanks":       "site:xyzzy xyzzy@127.0.0.1/site",
		"plain":                   "postgres://site:xyzzy@127.0.0.1:1/site",
		"all that delimits":       "postgres://site:xyzzy#xyzzy?xyzzy@xyzzy/xyzzy@127.0.0.1:1/site",
		"question mark and equals " +
			"sign": "postgres://site:xyzzy?xyzzy=xyzzy&xyzzy=xyzzy@127.0.0.1:1/site",
		"number, question mark":  "postgres://site:12?xyzzy=xyzzy@127.0.0.1:1/site",
		"number, our own option": "postgres://site:12?schema=xyzzy@127.0.0.1:1/site",
		"number, slash":          "postgres://site:12/xyzzy@127.0.0.1:1/site",
		"number, hash":           "postgres://site:12#xyzzy@127.0.0.1:1/site",
		"blank":                  "postgres://site:xyzzy xyzzy@127.0.0.1:1/site",
		"backslash":              `postgres://site:xyzzy\xyzzy"xyzzy@127.0.0.1:1/site`,
		"percent-encoded":        "postgres://site:xyzzy%%40xyz%%7Ay@127.0.0.1:1/site",
		"percent sign":           "postgres://site:xyzzy%%zz@127.0.0.1:1/site",
		"sslpassword": "postgres://site@127.0.0.1:1/site?sslpassword=xyzzy#xyzzy" +
			"&sslcert=/nowhere&sslkey=/nowhere",
		"password as an " +
			"option": "postgres://127.0.0.1:1/site?user=site&password=xyzzy@xyzzy&xyzzy",
		"encoded option":         "postgres://127.0.0.1:1/site?pass%%77ord=xyzzy",
		"options of bolt":        "bolt:///nowhere/data.db?secret=xyzzy",
		"another database":       "redis://:xyzzy@127.0.0.1/0",
		"mysql":                  "site:xyzzy(xyzzy/xyzzy@tcp(127.0.0.1:1)/site?tls=no",
		"JSON":                   `{"user": "site", "password": "xyzzy xyzzy"}`,
		"ADO":                    "Server=127.0.0.1;Password=xyzzy xyzzy;Database=site",
		"three slashes":          "postgres:///site:xyzzy@127.0.0.1:1/site",
		"slash, no scheme":       "site/xyzzy@127.0.0.1:1/orcl",
		"libpq's password file":  "127.0.0.1:1:site:site:xyzzy",
		"arguments":              "--user site --password xyzzy --host 127.0.0.1",
		"a header field":         "Authorization: Bearer xyzzy",
		"a header field's value": "Basic xyzzy0123456789==",
		"a signature":            "https://127.0.0.1/?AccessId=site&Signature=xyzzy",
		"a URI in a URI":         "jdbc:mysql://site:xyzzy@127.0.0.1/site",
		"a key in PEM":           "-----BEGIN EC PRIVATE KEY-----xyzzy",
		"from the environment":   "%(ENV_SITE_URI)s",
		"a password of the " +
			"environment": "postgres://site:%(ENV_SITE_DB_PASSWORD)s@127.0.0.1:1/site" +
			"?nonsense=%(ENV_SITE_DB_PASSWORD)s",
		"from a setting": "nonsense %(db_password)s",
	}
	var cases []Case
	for name, value := range values {
		cases = append(cases, Case{
			Name: "database: " + name, INI: site("zodb_uri = "+value+"\n", goodFilter,
				"db_password = xyzzy-of-the-file\n"),
			Secrets: []string{Mark, "xyz%7Ay"},
		})
	}
	return cases
}

// secrets returns cases with a secret in the settings of browserid.
func secrets() []Case {
	var cases []Case
	for name, lines := range map[string]string{
		"no delimiter":                "secret_key xyzzy\n",
		"no delimiter, ends with one": "secret_key xyzzy=\n",
		"no delimiter, has one":       "secret_key xyzzy:xyzzy\n",
		"twice": "secret_key = xyzzy-0123456789\nsecret_key = " +
			"xyzzy-9876543210\n",
		"misspelt": "secret_kye = xyzzy-0123456789\n",
		"short":    "secret_key = xyzzy\n",
		"not indented": "secret_key = " +
			"0123456789-abcdef-xyzzy\nold_secret_keys =\nxyzzy-one\nxyzzy two\n",
		"where a variable's name belongs":  "secret_key_env = xyzzy-0123456789\n",
		"where a file's name belongs":      "secret_key_file = xyzzy-0123456789\n",
		"as the variable of a reference":   "secret_key = %(ENV_xyzzy0123456789)s\n",
		"as the name of a reference":       "secret_key = %(xyzzy0123456789)s\n",
		"as a reference that does not end": "secret_key = %(xyzzy0123456789\n",
		"percent sign":                     "secret_key = xyzzy%0123456789\n",
		"where a number belongs": goodFilter +
			"cookie_lifetime = %(session_secret)s\n",
		"where a variable's value is no bool": goodFilter + "lazy = %(ENV_SITE_DB_PASSWORD)s\n",
		"in two places": goodFilter +
			"secret_key_env = SITE_URI\ncookie_path = %(session_secret)s\n",
	} {
		cases = append(cases, Case{
			Name: "secret: " + name, INI: site(goodApp, lines,
				"session_secret = xyzzy-of-the-file\n"), Secrets: []string{Mark},
		})
	}
	for name, lines := range map[string]string{
		"hexadecimal, no delimiter":   "secret_key " + hexKey + "\n",
		"hexadecimal, for a variable": "secret_key_env = " + hexKey + "\n",
		"hexadecimal in capitals, a variable": "secret_key_env = " +
			strings.ToUpper(hexKey) + "\n",
		"hexadecimal, for a file":              "secret_key_file = " + hexKey + "\n",
		"hexadecimal, variable of a reference": "secret_key = %(ENV_" + hexKey + ")s\n",
		"hexadecimal, name of a reference":     "cookie_name = %(" + hexKey + ")s\n" + goodFilter,
		"base64, no delimiter":                 "secret_key " + base64Key + "\n",
		"base64, not indented": goodFilter + "old_secret_keys =\n" +
			base64Key + "\n",
		"base64, for a variable":                "secret_key_env = " + base64Key + "\n",
		"base64, for a file":                    "secret_key_file = " + base64Key + "\n",
		"base64, for a file, with a slash":      "secret_key_file = /" + base64Key + "\n",
		"hexadecimal, where the section is not": goodFilter + "[" + hexKey + "\n",
	} {
		cases = append(cases, Case{
			Name: "secret: " + name, INI: site(goodApp, lines, ""),
			Secrets: []string{hexKey, strings.TrimSuffix(base64Key, "=")},
		})
	}
	return cases
}

// others returns cases with a secret elsewhere.
func others() []Case {
	good := site(goodApp, goodFilter, "")
	return []Case{
		{
			"in a pipeline", good + "[pipeline:p]\npipeline = main\nsecret_key = xyzzy\n",
			[]string{Mark},
		},
		{
			"a word of a pipeline",
			"[pipeline:main]\npipeline = postgres://site:xyzzy@127.0.0.1/site\n",
			[]string{Mark},
		},
		{
			"an app of another program",
			"[app:main]\nuse = egg:acme#app\nsecret xyzzy =\ndb.password = xyzzy\nsqlalchemy.url " +
				"= mysql://site:xyzzy#xyzzy@db/site\n",
			[]string{Mark},
		},
		{"before the first section", "secret_key = xyzzy\n" + good, []string{Mark}},
		{"from [DEFAULT], where a bool belongs", site(goodApp+"reload_templates = "+
			"%(db_password)s\n", goodFilter, "db_password = xyzzy-of-the-file\n"), []string{Mark}},
		{
			"an unknown setting", site(goodApp+"smtp_password = xyzzy\n", goodFilter, ""),
			[]string{Mark},
		},
		{
			"unknown settings, in one word",
			site(goodApp+"secretkey = xyzzy\ndbpasswd = xyzzy\nprivatekey = xyzzy\nmypassphrase "+
				"= xyzzy\nsmtppwd = xyzzy\n", goodFilter, ""),
			[]string{Mark},
		},
		{"another file", strings.Replace(good, "egg:myapp#app",
			"config:https://site:xyzzy@host/a.ini", 1), []string{Mark}},
		{
			"an unknown setting of the server", good + "proxy_auth = site:xyzzy@proxy\n",
			[]string{Mark},
		},
		{"the host of the server", strings.Replace(good, "host = 127.0.0.1",
			"host = site:xyzzy@127.0.0.1", 1), []string{Mark}},
		{
			"the proxies of the server", good + "trusted_proxy = http://site:xyzzy@proxy/\n",
			[]string{Mark},
		},
		{"the level of the log", good + "[logging]\nlevel = token=xyzzy\n", []string{Mark}},
		{
			"the place of the log", good + "[logging]\nto = https://site:xyzzy@log/\n",
			[]string{Mark},
		},
		{
			"a composite", "[composite:main]\nuse = egg:Paste#urlmap\n/ = app\nsecret_key xyzzy " +
				"= app\n[app:app]\nuse = egg:Paste#static\ndocument_root = " +
				"https://site:xyzzy@docs/\n" +
				"[server:main]\nuse = egg:Paste#http\n", []string{Mark},
		},
	}
}
