package postgres

import (
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

// options are this package's own options in the URI.
type options struct {
	schema         string
	prefix         string
	program        string
	acquireTimeout time.Duration
	appSQLTimeout  time.Duration // 0: none
	pinFirst       bool          // snapshot=first
	noTwoPhase     bool          // two_phase=off
	settings       settings      // of each session
}

const defaultPrefix = "pasteline_"

// ownOptions are the names of options.
var ownOptions = []string{
	"acquire_timeout", "app_sql_timeout", "program", "schema", "snapshot", "table_prefix",
	"two_phase",
}

// defaults are run-time parameters that the URI may set to something else.
var defaults = settings{
	"application_name":                    "pasteline",
	"bytea_output":                        "hex", // the only one that pgx reads in text format
	"idle_in_transaction_session_timeout": "1min",
	"lock_timeout":                        "5s",
	"statement_timeout":                   "30s",
}

var (
	nameSyntax    = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)
	programSyntax = regexp.MustCompile(`^[A-Za-z0-9-]{1,32}$`)
)

// canonical returns the same text for all URIs of a database, as far as the URIs show that: options
// are sorted, and the default port is left out.
func canonical(uri *url.URL) (*url.URL, error) {
	if _, _, err := parse(uri); err != nil {
		return nil, err
	}
	c := *uri
	c.Scheme = "postgres"
	c.Host = strings.ToLower(c.Host)
	if os.Getenv("PGPORT") == "" { // otherwise the default is another one
		c.Host = strings.TrimSuffix(c.Host, ":5432")
	}
	query, err := parseQuery(&c)
	if err != nil {
		return nil, err
	}
	c.RawQuery, c.ForceQuery = encodeQuery(query), false
	return &c, nil
}

// parseQuery and encodeQuery leave a + as it is, as libpq does: it does not stand for a space.
func parseQuery(uri *url.URL) (url.Values, error) {
	return url.ParseQuery(strings.ReplaceAll(uri.RawQuery, "+", "%2B"))
}

func encodeQuery(query url.Values) string { return strings.ReplaceAll(query.Encode(), "+", "%20") }

// parse returns the configuration of the pool and the options that a URI contains.
func parse(uri *url.URL) (*pgxpool.Config, options, error) {
	o := options{
		prefix: defaultPrefix, program: "pasteline",
		acquireTimeout: 5 * time.Second, appSQLTimeout: time.Minute,
	}
	query, err := parseQuery(uri)
	if err != nil {
		return nil, o, errors.New("the options after the ? are not well-formed: " +
			"write name=value&name=value")
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if len(query[name]) > 1 {
			return nil, o, fmt.Errorf("the option %s is given %d times", name, len(query[name]))
		}
		if err := o.set(name, query.Get(name)); err != nil {
			return nil, o, err
		}
	}
	rest := *uri
	rest.Scheme = "postgres"
	for _, name := range ownOptions {
		query.Del(name)
	}
	rest.RawQuery = encodeQuery(query)
	config, err := pgxpool.ParseConfig(rest.String())
	if err != nil {
		return nil, o, explainParse(err)
	}
	params := config.ConnConfig.RuntimeParams
	o.settings = defaults.with(ownSettings).with(takeSettings(params))
	o.settings["default_transaction_isolation"] = "serializable"
	// visible from the start of the session
	params["application_name"] = o.settings["application_name"]
	return config, o, nil
}

// startUp are the run-time parameters that can only be set when a session begins.
var startUp = []string{
	"client_encoding", "ignore_system_indexes", "jit_debugging_support", "jit_profiling_support",
	"log_connections", "log_disconnections", "options", "post_auth_delay", "replication",
}

// takeSettings removes the settings that can also be set later from the parameters of a start-up
// message, and returns them.
func takeSettings(params map[string]string) settings {
	taken := settings{}
	if given, ok := parseFlags(params["options"]); ok {
		delete(params, "options")
		taken = given
	}
	for name, value := range params {
		if !slices.Contains(startUp, name) && !strings.HasPrefix(name, "_pq_.") {
			taken[name] = value
			delete(params, name)
		}
	}
	return taken
}

// parseFlags reads the settings in the parameter options: -c name=value or --name=value, with \
// before a space or a \. With anything else in the text, ok is false.
func parseFlags(text string) (s settings, ok bool) {
	var words []string
	var word strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
		case strings.IndexByte(" \t\n\v\f\r", c) >= 0:
			words = append(words, word.String())
			word.Reset()
		default:
			word.WriteByte(c)
		}
	}
	words = append(words, word.String())
	s = settings{}
	for i := 0; i < len(words); i++ {
		word := words[i]
		switch {
		case word == "":
			continue
		case word == "-c" && i+1 < len(words):
			i++
			word = words[i]
		case strings.HasPrefix(word, "--"), strings.HasPrefix(word, "-c"):
			word = word[2:]
		default:
			return nil, false
		}
		name, value, found := strings.Cut(word, "=")
		name = strings.ReplaceAll(name, "-", "_")
		if !found || name == "" || slices.Contains(startUp, name) {
			return nil, false
		}
		s[name] = value
	}
	return s, true
}

func (o *options) set(name, value string) error {
	switch name {
	case "schema":
		if !nameSyntax.MatchString(value) {
			return fmt.Errorf("schema=%s: want a name of small letters, digits and _, such as site",
				value)
		}
		o.schema = value
	case "table_prefix":
		if !nameSyntax.MatchString(value) {
			return fmt.Errorf("table_prefix=%s: want small letters, digits and _, such as site_",
				value)
		}
		o.prefix = value
	case "program":
		if !programSyntax.MatchString(value) {
			return fmt.Errorf("program=%s: want 1 to 32 letters, digits and -", value)
		}
		o.program = value
	case "acquire_timeout":
		d, err := parseTime(value)
		if err != nil || d <= 0 {
			return fmt.Errorf("acquire_timeout=%s: want a time above 0, such as 5s", value)
		}
		o.acquireTimeout = d
	case "app_sql_timeout":
		d, err := parseTime(value)
		if err != nil || d < 0 {
			return fmt.Errorf("app_sql_timeout=%s: want a time such as 1min, or 0 for no limit",
				value)
		}
		o.appSQLTimeout = d
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

// parseTime parses a time in Go's or in PostgreSQL's notation.
func parseTime(value string) (time.Duration, error) {
	return time.ParseDuration(strings.Replace(value, "min", "m", 1))
}

// table returns the name of a table in a schema. The schema is quoted, because it may be a keyword
// of SQL; options.set checks that the rest needs no quotes.
func (o *options) table(schema, name string) string {
	if schema == "" {
		return o.prefix + name
	}
	return pgx.Identifier{schema}.Sanitize() + "." + o.prefix + name
}

// explainParse removes the URI from an error of pgx: the opener adds it, without its secrets.
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

// explainOpen adds the meaning and the remedy to an error of the first connection.
func explainOpen(err error) error {
	if e, ok := errors.AsType[*sessionError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*transientError](err); ok {
		return e
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		if strings.HasPrefix(e.Message, "unsupported startup parameter") { // from PgBouncer
			return fmt.Errorf("the connection pooler says: %s: "+
				"leave it out, or add it to ignore_startup_parameters there", e.Message)
		}
		switch e.Code {
		case "42704", "22023": // undefined_object, invalid_parameter_value
			return fmt.Errorf("%s: the options of this kind of database are %s, "+
				"those of the pool (pool_max_conns …), those of libpq (sslmode …) "+
				"and the run-time parameters of the server",
				e.Message, strings.Join(ownOptions, ", "))
		case "3D000":
			return fmt.Errorf("%s: create it, with createdb for example", e.Message)
		case "28P01", "28000":
			return fmt.Errorf("%s: check user and password in the URI, or PGPASSWORD, or ~/.pgpass",
				e.Message)
		case "42501":
			return fmt.Errorf("%s: the user of the URI creates the tables, so it needs the right: "+
				"GRANT CREATE ON SCHEMA … TO …", e.Message)
		}
		return fmt.Errorf("the server says: %s", e.Message)
	}
	if e, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		if inner := e.Unwrap(); inner != nil {
			err = inner
		}
		return fmt.Errorf("no connection: %s: is the server running, and are host and port right?",
			oneLine(err))
	}
	return err
}

// oneLine joins the lines of an error and drops repeated ones: without a setting for TLS in the
// URI, pgx tries two connections.
func oneLine(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(slices.Compact(lines), " ")
}
