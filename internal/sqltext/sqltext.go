// Package sqltext looks at SQL that an app runs inside a transaction that is not its own to end.
//
// The text does not show every effect of a statement: a procedure may commit, and settings of the
// session change the meaning of a text. So the result of [Dialect.Look] is for a good error message,
// and shows when the database has to be asked.
package sqltext

import (
	"slices"
	"strings"
)

// A Dialect is the language of a kind of database, as far as it is needed to find where statements
// begin: comments, quotes, and the statements that have to do with transactions.
type Dialect int

// The dialects. MySQL is MariaDB's, too.
const (
	Generic Dialect = iota // unknown: only facts on which the others agree
	PostgreSQL
	MySQL
	SQLite
)

// Facts are the properties of a text, which may have several statements.
type Facts struct {
	// Ends: a statement whose purpose is to begin or end a transaction: BEGIN, START TRANSACTION,
	// COMMIT, END, ROLLBACK (but not ROLLBACK TO a savepoint), ABORT, PREPARE TRANSACTION, XA (but
	// not XA RECOVER), or one that sets autocommit.
	Ends bool

	// Commits: MySQL and MariaDB commit before a statement of this kind, also if it fails.
	Commits bool

	// MayEnd: the transaction may be over afterwards: Ends or Commits is true, or the text does not
	// show it. If it is false, only an error can have ended the transaction.
	MayEnd bool

	// RollsBack: the first statement rolls back to a savepoint, and none Ends.
	RollsBack bool

	// Savepoints: a statement makes a savepoint, releases one or rolls back to one.
	Savepoints bool

	// Leaves: something may stay in the session when the transaction is over: a setting, a
	// temporary table, a lock.
	Leaves bool
}

// Look returns the facts about sql. Its meaning may depend on settings of the session, for example
// whether a backslash escapes: Ends, Commits and RollsBack are true only if they hold for every
// setting, the others if they hold for one.
func (d Dialect) Look(sql string) Facts {
	var found Facts
	first := true
	for _, v := range variants[d] {
		if !first && !v.matters(sql) {
			continue
		}
		f := v.look(sql)
		if first {
			found, first = f, false
			continue
		}
		found.Ends = found.Ends && f.Ends
		found.Commits = found.Commits && f.Commits
		found.RollsBack = found.RollsBack && f.RollsBack
		found.MayEnd = found.MayEnd || f.MayEnd
		found.Savepoints = found.Savepoints || f.Savepoints
		found.Leaves = found.Leaves || f.Leaves
	}
	return found
}

// Reads reports whether sql begins like a statement that only reads, whatever functions it calls
// may do.
func Reads(sql string) bool {
	s, _ := variant{Dialect: Generic}.next(sql)
	return s.is(0, "", "SELECT", "SHOW", "VALUES", "TABLE", "EXPLAIN", "DESCRIBE", "SAVEPOINT",
		"RELEASE", "SET", "PRAGMA")
}

// A variant is a dialect with one choice of settings.
type variant struct {
	Dialect
	backslash bool // escapes in every string
	versions  bool // the text inside /*! */ is run
	// alone: the other variants of the dialect matter only if the text has a character that the
	// settings are about
	alone bool
}

// variants has the usual settings first.
var variants = map[Dialect][]variant{
	PostgreSQL: {{PostgreSQL, false, false, true}, {PostgreSQL, true, false, false}},
	MySQL: {
		{MySQL, true, true, true},
		{MySQL, false, true, false},
		{MySQL, true, false, false},
		{MySQL, false, false, false},
	},
	SQLite: {{SQLite, false, false, true}},
	Generic: {
		{SQLite, false, false, true},
		{PostgreSQL, false, false, true},
		{PostgreSQL, true, false, false},
		{MySQL, true, true, true},
		{MySQL, false, true, false},
		{MySQL, true, false, false},
		{MySQL, false, false, false},
	},
}

func (v variant) matters(sql string) bool {
	return v.alone || strings.Contains(sql, `\`) || strings.Contains(sql, "/*")
}

// look looks at every statement of sql, up to one that may have others in its body.
func (v variant) look(sql string) (f Facts) {
	n := 0
	for sql != "" {
		var s statement
		s, sql = v.next(sql)
		if s.empty() {
			continue
		}
		n++
		ends, commits := s.controls(), v.Dialect == MySQL && s.commits()
		f.Ends = f.Ends || ends
		f.Commits = f.Commits || commits
		f.MayEnd = f.MayEnd || ends || commits || n > 1 || v.Dialect == MySQL &&
			!s.startsWith(harmless)
		f.Savepoints = f.Savepoints || s.is(0, "SAVEPOINT", "RELEASE") || s.rollsBack()
		f.Leaves = f.Leaves || v.leaves(s)
		if n == 1 {
			f.RollsBack = s.rollsBack()
		}
		if s.startsWith(compound) || s.is(0, "BEGIN") && !ends {
			f.MayEnd = f.MayEnd || strings.TrimSpace(sql) != ""
			f.Leaves = f.Leaves || v.Dialect == MySQL && !s.is(0, "CREATE")
			break
		}
	}
	f.RollsBack = f.RollsBack && !f.Ends
	return f
}

// What statements begin with.
var (
	// harmless statements never end a transaction of MySQL, unless they fail: functions that they
	// call must not end it.
	harmless = []string{
		"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "WITH", "VALUES", "TABLE", "SAVEPOINT",
		"RELEASE", "ROLLBACK", "SHOW",
		"DESCRIBE", "DESC", "EXPLAIN", "DO", "USE",
	}

	// compound are those that have others in their body, with a BEGIN and END of their own.
	compound = []string{"CREATE", "IF", "CASE", "LOOP", "REPEAT", "WHILE", "FOR", "DECLARE"}

	// passing are those of which nothing stays in the session; see leaves for more of some.
	passing = []string{
		"SELECT", "INSERT", "UPDATE", "DELETE", "REPLACE", "MERGE", "WITH", "VALUES", "TABLE",
		"SAVEPOINT", "RELEASE", "ROLLBACK",
		"SHOW", "DESCRIBE", "DESC", "EXPLAIN", "ANALYZE", "DO", "COMMENT", "GRANT", "REVOKE",
		"COPY", "LOCK", "REFRESH",
		"REINDEX", "CLUSTER", "NOTIFY", "FETCH", "MOVE", "CLOSE", "TRUNCATE", "ALTER", "DROP",
		"EXECUTE", "REASSIGN", "SECURITY",
		"CHECKSUM", "XA",
	}

	// lasting are names with which even those leave something: of functions, but for the last.
	lasting = []string{
		"set_config", "pg_advisory_lock", "pg_advisory_lock_shared", "pg_try_advisory_lock",
		"pg_try_advisory_lock_shared",
		"dblink_connect", "dblink_connect_u", "setseed", "get_lock", "load_extension",
		"pg_temp", // a schema
	}
)

// A statement is its first words, and what else is looked for in it.
type statement struct {
	words [4]string
	last  string
	n     int  // words and quoted strings
	other bool // there is something besides words
	// it has a function of lasting, a variable of the session, or makes a temporary table
	lasts bool
}

func (s statement) empty() bool { return s.n == 0 && !s.other }

// is reports whether word i is one of these; "" means that there is none.
func (s statement) is(i int, any ...string) bool {
	return isOneOf(s.words[i], any...) && (s.n <= i || s.words[i] != "")
}

func (s statement) startsWith(any []string) bool { return s.is(0, any...) }

// rollsBack: ROLLBACK [WORK | TRANSACTION] TO [SAVEPOINT] name.
func (s statement) rollsBack() bool {
	return s.is(0, "ROLLBACK") && (s.is(1, "TO") || s.is(1, "WORK", "TRANSACTION") && s.is(2, "TO"))
}

// controls reports whether the purpose of the statement is to begin or end a transaction.
func (s statement) controls() bool {
	switch {
	case s.is(0, "COMMIT", "ABORT"):
		return true
	case s.is(0, "BEGIN"): // else it is a block
		return s.is(1, "", "WORK", "TRAN", "TRANSACTION", "ISOLATION", "READ", "DEFERRED",
			"IMMEDIATE", "EXCLUSIVE", "CONCURRENT",
			"DEFERRABLE") || s.is(1, "NOT") && s.is(2, "DEFERRABLE")
	case s.is(0, "END"): // else of an IF or a LOOP
		return s.is(1, "", "WORK", "TRANSACTION", "AND")
	case s.is(0, "ROLLBACK"):
		return !s.rollsBack()
	case s.is(0, "START"):
		return s.is(1, "TRANSACTION")
	case s.is(0, "PREPARE"):
		return s.is(1, "TRANSACTION") && !s.is(2, "FROM", "AS")
	case s.is(0, "XA"):
		return !s.is(1, "RECOVER")
	case s.is(0, "SET"):
		return s.is(1, "AUTOCOMMIT", "@@AUTOCOMMIT") ||
			s.is(1, "SESSION", "LOCAL", "@@SESSION", "@@LOCAL") &&
				s.is(2, "AUTOCOMMIT", "@@AUTOCOMMIT")
	}
	return false
}

// commits reports whether MySQL and MariaDB commit before the statement in any case.
func (s statement) commits() bool {
	switch {
	case s.is(0, "TRUNCATE", "RENAME", "OPTIMIZE", "REPAIR", "FLUSH", "GRANT", "REVOKE", "INSTALL",
		"UNINSTALL"):
		return true
	case s.is(0, "ALTER"):
		return s.is(1, "TABLE", "VIEW", "DATABASE", "SCHEMA", "SEQUENCE", "USER", "PROCEDURE",
			"FUNCTION", "EVENT")
	case s.is(0, "CREATE"):
		return !s.is(1, "", "TEMPORARY") && (!s.is(1, "OR") || !s.is(3, "TEMPORARY"))
	case s.is(0, "DROP"):
		return !s.is(1, "", "TEMPORARY", "PREPARE")
	case s.is(0, "LOCK"):
		return s.is(1, "TABLE", "TABLES")
	case s.is(0, "CHECK"):
		return s.is(1, "TABLE", "TABLES", "VIEW")
	case s.is(0, "ANALYZE"):
		return s.is(1, "TABLE", "TABLES") || s.is(1, "LOCAL", "NO_WRITE_TO_BINLOG") &&
			s.is(2, "TABLE", "TABLES")
	}
	return false
}

// leaves reports whether something may stay in the session.
func (v variant) leaves(s statement) bool {
	switch {
	case s.lasts:
		return true
	case s.controls(): // it is refused
		return false
	case s.is(0, "CREATE"):
		return false // TEMPORARY is one of lasting
	case s.is(0, "SET"):
		return !s.is(1, "TRANSACTION", "CONSTRAINTS", "STATEMENT") &&
			(v.Dialect != PostgreSQL || !s.is(1, "LOCAL"))
	case s.is(0, "DO"): // a block, which may have any statement in it
		return v.Dialect == PostgreSQL
	case s.is(0, "EXECUTE"): // IMMEDIATE, or a prepared statement of any kind
		return v.Dialect == MySQL
	}
	return !s.startsWith(passing)
}

// next returns the first statement of sql, and the rest after its semicolon.
func (v variant) next(sql string) (s statement, rest string) {
	version := false // inside of a comment that is run
	for sql != "" {
		switch c := sql[0]; {
		case c == ';':
			return s, sql[1:]
		case c <= ' ':
			sql = sql[1:]
			continue
		case v.lineComment(sql):
			sql = sql[lineEnd(v.Dialect, sql):]
			continue
		case version && strings.HasPrefix(sql, "*/"):
			version, sql = false, sql[2:]
			continue
		case strings.HasPrefix(sql, "/*"):
			if marker := versionMarker(sql); v.versions && marker > 0 {
				version, sql = true, sql[marker:]
				continue
			}
			sql = sql[comment(sql, v.Dialect == PostgreSQL):]
			continue
		case c == '\'' || c == '"' || c == '`' && v.Dialect != PostgreSQL:
			length := quoted(sql, c, v.backslash && c != '`' && (c == '\'' || v.Dialect == MySQL))
			s.lasts = s.lasts || c == '"' && isOneOf(strings.Trim(sql[:length], `"`), lasting...)
			s.n, sql = s.n+1, sql[length:]
			continue
		case c == '[' && v.Dialect == SQLite:
			_, sql, _ = strings.Cut(sql, "]")
			s.n++
			continue
		case (c == 'e' || c == 'E') && v.Dialect == PostgreSQL && len(sql) > 1 && sql[1] == '\'':
			sql = sql[1+quoted(sql[1:], '\'', true):]
			s.n++
			continue
		case c == '$' && v.Dialect == PostgreSQL:
			if tag, ok := dollar(sql); ok {
				_, sql, _ = strings.Cut(sql[len(tag):], tag)
				s.n++
				continue
			}
		case isLetter(c) || c == '@':
			length := 1
			for length < len(sql) && (isLetter(sql[length]) || isDigit(sql[length]) ||
				sql[length] == '$' ||
				sql[length] == '@' && c == '@') {
				length++
			}
			s.add(sql[:length], v.Dialect)
			sql = sql[length:]
			continue
		case isDigit(c): // a number, or the rest of a placeholder
			length := 1
			for length < len(sql) && (isLetter(sql[length]) || isDigit(sql[length])) {
				length++
			}
			s.n, s.other, sql = s.n+1, true, sql[length:]
			continue
		}
		s.other, sql = true, sql[1:]
	}
	return s, ""
}

// add counts a word.
func (s *statement) add(word string, d Dialect) {
	if s.n < len(s.words) {
		s.words[s.n] = word
	}
	s.n++
	before := s.last
	s.last = word
	switch {
	case s.lasts || s.n == 1:
	case word[0] == '@':
		s.lasts = d == MySQL && !strings.HasPrefix(word, "@@")
	// also SQLite's schema of that name; or the name of a column
	case isOneOf(word, "TEMP", "TEMPORARY"):
		s.lasts = isOneOf(before, "CREATE", "REPLACE", "INTO", "LOCAL", "GLOBAL", "TABLE", "VIEW",
			"TRIGGER", "EXISTS")
	default:
		s.lasts = isOneOf(word, lasting...)
	}
}

func isOneOf(word string, any ...string) bool {
	return slices.ContainsFunc(any, func(s string) bool { return strings.EqualFold(word, s) })
}

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// lineComment reports whether a comment begins that ends with the line. MySQL wants a blank behind
// the two hyphens.
func (v variant) lineComment(sql string) bool {
	if v.Dialect != MySQL {
		return strings.HasPrefix(sql, "--")
	}
	return sql[0] == '#' || strings.HasPrefix(sql, "--") && (len(sql) == 2 || sql[2] <= ' ')
}

// lineEnd returns where the line ends: for PostgreSQL also with a carriage return.
func lineEnd(d Dialect, sql string) int {
	ends := "\n"
	if d == PostgreSQL {
		ends = "\n\r"
	}
	if i := strings.IndexAny(sql, ends); i >= 0 {
		return i
	}
	return len(sql)
}

// versionMarker returns the length of /*!50000 or /*M!100100, or 0.
func versionMarker(sql string) int {
	var n int
	switch {
	case strings.HasPrefix(sql, "/*!"):
		n = 3
	case strings.HasPrefix(sql, "/*M!"):
		n = 4
	default:
		return 0
	}
	for digits := 0; n < len(sql) && isDigit(sql[n]) && digits < 6; digits++ {
		n++
	}
	return n
}

// comment returns the length of a comment, in which there may be others if they are nested.
func comment(sql string, nested bool) int {
	depth := 0
	for i := 0; i+1 < len(sql); i++ {
		switch {
		case sql[i] == '/' && sql[i+1] == '*' && (nested || depth == 0):
			depth++
			i++
		case sql[i] == '*' && sql[i+1] == '/':
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(sql)
}

// quoted returns the length of a quoted string. Quotes inside it are doubled, or escaped by a
// backslash.
func quoted(sql string, quote byte, backslash bool) int {
	for i := 1; i < len(sql); i++ {
		switch {
		case backslash && sql[i] == '\\':
			i++
		case sql[i] != quote:
		case i+1 < len(sql) && sql[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return len(sql)
}

// dollar returns the tag that begins a dollar quote, such as $$ or $body$.
func dollar(sql string) (tag string, ok bool) {
	for i := 1; i < len(sql); i++ {
		switch {
		case sql[i] == '$':
			return sql[:i+1], true
		case !isLetter(sql[i]) && (i == 1 || !isDigit(sql[i])):
			return "", false
		}
	}
	return "", false
}
