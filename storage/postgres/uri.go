package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// options are those of the URI that are this package's own.
type options struct {
	schema         string
	prefix         string
	program        string
	acquireTimeout time.Duration
	pinFirst       bool // snapshot=first
	noTwoPhase     bool // two_phase=off
}

const defaultPrefix = "pasteline_"

var ours = []string{"acquire_timeout", "program", "schema", "snapshot", "table_prefix", "two_phase"}

// defaults are run-time parameters that the URI may set to something else.
var defaults = map[string]string{
	"application_name":                    "pasteline",
	"idle_in_transaction_session_timeout": "1min",
	"lock_timeout":                        "5s",
	"statement_timeout":                   "30s",
}

var (
	nameSyntax    = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)
	programSyntax = regexp.MustCompile(`^[A-Za-z0-9-]{1,32}$`)
)

// canonical writes what names the same database in one way, as far as that can be known without asking: options are sorted, and
// the port that is the default is left out.
func canonical(uri *url.URL) (*url.URL, error) {
	if _, _, err := parse(uri); err != nil {
		return nil, err
	}
	c := *uri
	c.Scheme = "postgres"
	c.Host = strings.ToLower(c.Host)
	if os.Getenv("PGPORT") == "" { // else the default is another
		c.Host = strings.TrimSuffix(c.Host, ":5432")
	}
	query, err := parseQuery(&c)
	if err != nil {
		return nil, err
	}
	c.RawQuery, c.ForceQuery = encodeQuery(query), false
	return &c, nil
}

// parseQuery and encodeQuery take a + for a +, as libpq does: it does not stand for a space.
func parseQuery(uri *url.URL) (url.Values, error) {
	return url.ParseQuery(strings.ReplaceAll(uri.RawQuery, "+", "%2B"))
}

func encodeQuery(query url.Values) string { return strings.ReplaceAll(query.Encode(), "+", "%20") }

// parse returns what a URI says to the pool and to us.
func parse(uri *url.URL) (*pgxpool.Config, options, error) {
	o := options{prefix: defaultPrefix, program: "pasteline", acquireTimeout: 5 * time.Second}
	query, err := parseQuery(uri)
	if err != nil {
		return nil, o, errors.New("the options after the ? are not well-formed: write name=value&name=value")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(query[name]) > 1 {
			return nil, o, fmt.Errorf("the option %s is there %d times", name, len(query[name]))
		}
		if err := o.set(name, query.Get(name)); err != nil {
			return nil, o, err
		}
	}
	rest := *uri
	rest.Scheme = "postgres"
	for _, name := range ours {
		query.Del(name)
	}
	rest.RawQuery = encodeQuery(query)
	config, err := pgxpool.ParseConfig(rest.String())
	if err != nil {
		return nil, o, explainParse(err)
	}
	params := config.ConnConfig.RuntimeParams
	for name, value := range defaults {
		params[name] = cmp.Or(params[name], value)
	}
	params["default_transaction_isolation"] = "serializable"
	return config, o, nil
}

func (o *options) set(name, value string) error {
	switch name {
	case "schema":
		if !nameSyntax.MatchString(value) {
			return fmt.Errorf("schema=%s: want a name of small letters, digits and _, such as site", value)
		}
		o.schema = value
	case "table_prefix":
		if !nameSyntax.MatchString(value) {
			return fmt.Errorf("table_prefix=%s: want small letters, digits and _, such as site_", value)
		}
		o.prefix = value
	case "program":
		if !programSyntax.MatchString(value) {
			return fmt.Errorf("program=%s: want 1 to 32 letters, digits and -", value)
		}
		o.program = value
	case "acquire_timeout":
		d, err := time.ParseDuration(strings.Replace(value, "min", "m", 1)) // as PostgreSQL writes it, too
		if err != nil || d <= 0 {
			return fmt.Errorf("acquire_timeout=%s: want a time above 0, such as 5s", value)
		}
		o.acquireTimeout = d
	case "snapshot":
		if value != "lazy" && value != "first" {
			return fmt.Errorf("snapshot=%s: want lazy or first", value)
		}
		o.pinFirst = value == "first"
	case "two_phase":
		if value != "auto" && value != "off" {
			return fmt.Errorf("two_phase=%s: want auto or off", value)
		}
		o.noTwoPhase = value == "off"
	case "default_transaction_isolation":
		return errors.New("default_transaction_isolation is always serializable here: leave it out")
	}
	return nil
}

// table returns the name of a table. The schema is quoted, for its name may be a word of SQL; the rest is checked not to need it.
func (o *options) table(name string) string {
	if o.schema != "" {
		return pgx.Identifier{o.schema}.Sanitize() + "." + o.prefix + name
	}
	return o.prefix + name
}

// explainParse leaves out the URI, which the error of pgx quotes: whoever opens a database by URI adds it, without what is secret.
func explainParse(err error) error {
	parseErr, ok := errors.AsType[*pgconn.ParseConfigError](err)
	if !ok {
		return err
	}
	text := parseErr.Error()
	if _, after, found := strings.Cut(text, "`: "); found {
		text = after
	}
	if password := password(parseErr.ConnString); password != "" {
		text = strings.ReplaceAll(text, password, "***")
	}
	return fmt.Errorf("%s: want postgres://user:password@host:5432/database?name=value", text)
}

func password(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	p, _ := u.User.Password()
	return p
}

// explainOpen says what an error of the first connection means and what can be done about it.
func explainOpen(err error) error {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "42704", "22023": // undefined_object, invalid_parameter_value
			return fmt.Errorf("%s: the options of this kind of database are %s, those of the pool (pool_max_conns …), those of libpq (sslmode …)"+
				" and the run-time parameters of the server", e.Message, strings.Join(ours, ", "))
		case "3D000":
			return fmt.Errorf("%s: make it, with createdb, say", e.Message)
		case "28P01", "28000":
			return fmt.Errorf("%s: check user and password in the URI, or PGPASSWORD, or ~/.pgpass", e.Message)
		case "42501":
			return fmt.Errorf("%s: the tables are made by the user of the URI, who needs the right to: GRANT CREATE ON SCHEMA … TO …", e.Message)
		}
		return fmt.Errorf("the server says: %s", e.Message)
	}
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		if inner := e.Unwrap(); inner != nil {
			err = inner
		}
		return fmt.Errorf("no connection: %s: is the server running, and are host and port right?", oneLine(err))
	}
	return err
}

// oneLine leaves out what is said twice: without a word about TLS in the URI, two connections are tried.
func oneLine(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(slices.Compact(lines), " ")
}
