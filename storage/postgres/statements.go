package postgres

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
)

// statements are the SQL texts of the package; pgx prepares each once for each connection. Their
// meaning does not depend on settings of the app in a shared SQL transaction: all names are
// qualified, and operators too.
type statements struct {
	data           string // the name of the table
	decisions      string
	durable        bool // all commits wait for the disk, not only decisions
	setOwnRole     string
	restoreAppRole string
	get            string
	scans          [2][2]string // by: in reverse, with an upper bound
	firsts         [2][2]string // the same for a first page: null for a large value

	mu     sync.Mutex // guards the rest
	texts  map[textKey]string
	shapes map[shape]string
}

// A shape describes a small commit, for its statement.
type shape struct {
	reads, puts int
	// the only put is of an existing key, which was read; that read is not counted
	replaces bool
	locks    bool
	durable  bool
}

type textKey struct {
	kind  int
	parts parts
}

// parts are the parts that a commit consists of.
type parts uint8

const (
	reads parts = 1 << iota // compare the versions of keys: buckets, keys, versions
	// compare ranges: buckets, from, to, numbers of keys, sums of versions
	ranges
	keyLocks // check that no other process holds a lock: locks
	deletes  // buckets, keys
	puts     // buckets, keys, values, versions
	decision // record the commits: ids
	// a flag: the commit waits for the disk, whatever the session's setting
	durable
)

const checks = reads | ranges | keyLocks

// The first column of the result of a check. The second is the index of the read, range or lock,
// from 1.
const (
	badRead  = 1
	badRange = 2
	badLock  = 3
)

// operators writes PostgreSQL's own operators, because a search path may put others before them.
var operators = strings.NewReplacer("{=}", operator("="), "{<>}", operator("<>"),
	"{<}", operator("<"), "{<=}", operator("<="), "{>=}", operator(">="),
	"{-}", operator("-"), "{+}", operator("+"), "{*}", operator("*"))

func operator(name string) string { return "OPERATOR(pg_catalog." + name + ")" }

// qualify writes {=} and the like as PostgreSQL's own operators.
func qualify(text string) string { return operators.Replace(text) }

// serializable is an SQL expression that is true, or fails if the statement does not run at that
// isolation level (see isNotSerializable). The level of a statement that is a transaction of its
// own depends on a setting of the session.
const serializable = "CASE WHEN pg_catalog.current_setting('transaction_isolation')" +
	" OPERATOR(pg_catalog.=) 'serializable' THEN true" +
	" ELSE pg_catalog.current_setting('" + notSerializable + "')::boolean END"

// notSerializable is a setting that does not exist.
const notSerializable = "pasteline.not_serializable"

// newStatements returns the statements for tables; weak says that the sessions' setting of
// synchronous_commit is less than durable.
func newStatements(table func(name string) string, role string, weak bool) *statements {
	s := &statements{
		data: table("data"), decisions: table("decisions"), durable: !weak,
		texts: map[textKey]string{}, shapes: map[shape]string{},
	}
	s.setOwnRole, s.restoreAppRole = roleSwitches(role)
	s.get = qualify("SELECT version, value FROM " + s.data +
		" WHERE bucket {=} $1 AND key {=} $2 AND " + serializable)
	for reverse, order := range []string{"key", "key DESC"} {
		for bounded, bound := range []string{"", " AND key {<} $4"} {
			where := "bucket {=} $1 AND key {>=} $2" + bound + " AND " + serializable
			// Nearly all ranges end on their first page and have small values only: without the sum
			// below the query is cheaper.
			s.firsts[reverse][bounded] = qualify(fmt.Sprintf("SELECT key, version,"+
				" CASE WHEN pg_catalog.octet_length(value) {<=} %[4]d THEN value END"+
				" FROM %[1]s WHERE %[3]s ORDER BY %[2]s LIMIT $3",
				s.data, order, where, pageBytes/firstPage))
			// As many bytes are returned as fit into a page, and one value more: the others are not
			// even read.
			s.scans[reverse][bounded] = qualify(fmt.Sprintf("SELECT key, version, value"+
				" FROM (SELECT key, version, value, pg_catalog.sum(pg_catalog.octet_length(value))"+
				" OVER (ORDER BY %[2]s ROWS UNBOUNDED PRECEDING)"+
				" {-} pg_catalog.octet_length(value) AS before"+
				" FROM (SELECT key, version, value FROM %[1]s"+
				" WHERE %[3]s ORDER BY %[2]s LIMIT $3) AS few) AS page"+
				" WHERE before {<=} %[4]d ORDER BY %[2]s", s.data, order, where, pageBytes))
		}
	}
	return s
}

// roleSwitches returns two queries for the app's SQL transaction: after the first, statements run
// as the role that opened the connection, after the second again as the role that the app has set,
// if any.
func roleSwitches(role string) (setOwnRole, restoreAppRole string) {
	var save, set, restore []string
	for _, s := range []struct{ name, value string }{
		{"session_authorization", "NULL"}, // the default
		{"role", literal(role)},
		{"bytea_output", literal(defaults["bytea_output"])},
	} {
		saved := "pasteline." + s.name
		save = append(save, setConfig(saved, "pg_catalog.current_setting('"+s.name+"')", true))
		set = append(set, setConfig(s.name, s.value, true))
		restore = append(restore,
			setConfig(s.name, "pg_catalog.current_setting('"+saved+"')", true))
	}
	return "SELECT " + strings.Join(append(save, set...), ", "),
		"SELECT " + strings.Join(restore, ", ")
}

// recorded returns an SQL expression that is true, for the column committed of the record that
// every commit inserts. The expression also verifies the isolation level, and makes a durable
// commit wait for the disk.
func recorded(p parts) string {
	if p&durable == 0 {
		return "(" + serializable + ")"
	}
	return "(" + serializable + " AND " + setConfig("synchronous_commit", durably, true) +
		" IS NOT NULL)"
}

// recordedIf is recorded with durable for decisions over others, and for all commits if s.durable.
func (s *statements) recordedIf(decides bool) string {
	if decides || s.durable {
		return recorded(durable)
	}
	return recorded(0)
}

// commit returns a statement that is a whole commit. If validation fails, the statement writes
// nothing and returns a row with the mismatch; otherwise it returns none.
func (s *statements) commit(p parts) string {
	return s.text(1, p, func(n *numbering) string {
		var with []string
		last := "SELECT 0 AS what, 0 AS n WHERE false"
		condition := ""
		if p&checks != 0 {
			with = append(with, "bad AS ("+s.bad(p, n)+")")
			condition = " AND NOT EXISTS (SELECT FROM bad)"
			last = "SELECT what, n FROM bad LIMIT 1"
		}
		for i, write := range s.writes(p, n, condition) {
			with = append(with, fmt.Sprintf("write%d AS (%s)", i, write))
		}
		return "WITH " + strings.Join(with, ", ") + " " + last
	})
}

// smallCommit returns a statement that is a whole small commit, without arrays. Its result is the
// number of rows written; zero means that validation failed ([statements.check] finds the key).
func (s *statements) smallCommit(f shape) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text, ok := s.shapes[f]
	if !ok {
		if f.replaces {
			text = s.makeReplace(f)
		} else {
			text = s.makeSmallCommit(f)
		}
		s.shapes[f] = text
	}
	return text
}

// makeReplace returns the statement for the most common commit, which writes an existing session.
// Finding the row, comparing its version and changing it is one step then; ON CONFLICT takes three.
func (s *statements) makeReplace(f shape) string {
	var n numbering
	id, version := n.next(), n.next()
	bucket, key, was, value := n.next(), n.next(), n.next(), n.next()
	return qualify(fmt.Sprintf("WITH changed AS"+
		" (UPDATE %[1]s SET value = %[2]s, version = %[3]s WHERE bucket {=} %[4]s"+
		" AND key {=} %[5]s AND version {=} %[6]s AND %[7]s RETURNING 1)"+
		" INSERT INTO %[8]s (id, committed) SELECT %[9]s::pg_catalog.text, %[10]s FROM changed",
		s.data, value, version, bucket, key, was, s.conditions(f, &n),
		s.decisions, id, recorded(f.parts())))
}

func (s *statements) makeSmallCommit(f shape) string {
	var n numbering
	id, version := n.next(), n.next()
	conditions := s.conditions(f, &n)
	var rows []string
	for range f.puts {
		rows = append(rows, fmt.Sprintf(
			"(%s::pg_catalog.bytea, %s::pg_catalog.bytea, %s::pg_catalog.bytea)",
			n.next(), n.next(), n.next()))
	}
	return fmt.Sprintf("WITH record AS (INSERT INTO %[1]s (id, committed)"+
		" SELECT %[2]s::pg_catalog.text, %[7]s WHERE %[3]s RETURNING 1)"+
		" INSERT INTO %[4]s AS d (bucket, key, value, version)"+
		" SELECT w.bucket, w.key, w.value, %[5]s::bigint"+
		" FROM record CROSS JOIN (VALUES %[6]s) AS w(bucket, key, value)"+
		" ON CONFLICT (bucket, key)"+
		" DO UPDATE SET value = excluded.value, version = excluded.version",
		s.decisions, id, conditions, s.data, version, strings.Join(rows, ", "), recorded(f.parts()))
}

// conditions returns the condition of a small commit.
func (s *statements) conditions(f shape, n *numbering) string {
	conditions := []string{"true"}
	for range f.reads {
		conditions = append(conditions, fmt.Sprintf(
			"coalesce((SELECT version FROM %s WHERE bucket {=} %s AND key {=} %s), 0) {=} %s",
			s.data, n.next(), n.next(), n.next()))
	}
	if f.locks {
		for range f.puts {
			conditions = append(conditions,
				"pg_catalog.pg_try_advisory_xact_lock_shared("+n.next()+") IS NOT FALSE")
		}
	}
	return qualify(strings.Join(conditions, " AND "))
}

// parts returns the parts that recorded depends on.
func (f shape) parts() parts {
	if f.durable {
		return decision | durable
	}
	return decision
}

// check returns a statement that only checks, as the first half of a commit.
func (s *statements) check(p parts) string {
	return s.text(2, p&checks, func(n *numbering) string { return s.bad(p&checks, n) + " LIMIT 1" })
}

// write returns a statement for one of the writing parts of a commit.
func (s *statements) write(p parts) string {
	return s.text(3, p, func(n *numbering) string { return s.writes(p, n, "")[0] })
}

func (s *statements) text(kind int, p parts, make func(*numbering) string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := textKey{kind, p}
	text, ok := s.texts[key]
	if !ok {
		text = make(new(numbering))
		s.texts[key] = text
	}
	return text
}

// numbering generates the placeholders $1, $2, …
type numbering int

func (n *numbering) next() string {
	*n++
	return "$" + strconv.Itoa(int(*n))
}

// bad returns a query with a row for each mismatch. Its lookups are lateral, so that they use the
// index regardless of the table's statistics.
func (s *statements) bad(p parts, n *numbering) string {
	var union []string
	if p&reads != 0 {
		// unnest of several arrays is always PostgreSQL's own, and can't be qualified.
		union = append(union, fmt.Sprintf("SELECT %d AS what, r.n"+
			" FROM unnest(%s::pg_catalog.bytea[], %s::pg_catalog.bytea[], %s::bigint[])"+
			" WITH ORDINALITY AS r(bucket, key, version, n)"+
			" LEFT JOIN LATERAL (SELECT d.version FROM %s AS d"+
			" WHERE d.bucket {=} r.bucket AND d.key {=} r.key) AS d ON true"+
			" WHERE coalesce(d.version, 0) {<>} r.version",
			badRead, n.next(), n.next(), n.next(), s.data))
	}
	if p&ranges != 0 {
		union = append(union, fmt.Sprintf("SELECT %d AS what, r.n"+
			" FROM unnest(%s::pg_catalog.bytea[], %s::pg_catalog.bytea[],"+
			" %s::pg_catalog.bytea[], %s::bigint[], %s::pg_catalog.text[])"+
			" WITH ORDINALITY AS r(bucket, low, high, number, total, n)"+
			" CROSS JOIN LATERAL (SELECT pg_catalog.count(*) AS number,"+
			" coalesce(pg_catalog.sum(d.version), 0) AS total FROM %s AS d"+
			" WHERE d.bucket {=} r.bucket AND d.key {>=} r.low"+
			" AND (r.high IS NULL OR d.key {<} r.high)) AS d"+
			" WHERE d.number {<>} r.number OR d.total {<>} r.total::numeric",
			badRange, n.next(), n.next(), n.next(), n.next(), n.next(), s.data))
	}
	if p&keyLocks != 0 {
		union = append(union, fmt.Sprintf("SELECT %d AS what, t.n"+
			" FROM pg_catalog.unnest(%s::bigint[]) WITH ORDINALITY AS t(lock, n)"+
			" WHERE NOT pg_catalog.pg_try_advisory_xact_lock_shared(t.lock)", badLock, n.next()))
	}
	return qualify(strings.Join(union, " UNION ALL "))
}

func (s *statements) writes(p parts, n *numbering, condition string) []string {
	var list []string
	if p&deletes != 0 {
		list = append(list, fmt.Sprintf("DELETE FROM %s AS d"+
			" USING unnest(%s::pg_catalog.bytea[], %s::pg_catalog.bytea[]) AS w(bucket, key)"+
			" WHERE d.bucket {=} w.bucket AND d.key {=} w.key%s",
			s.data, n.next(), n.next(), condition))
	}
	if p&puts != 0 {
		list = append(list, fmt.Sprintf("INSERT INTO %s AS d (bucket, key, value, version)"+
			" SELECT w.bucket, w.key, w.value, w.version"+
			" FROM unnest(%[2]s::pg_catalog.bytea[], %[3]s::pg_catalog.bytea[],"+
			" %[4]s::pg_catalog.bytea[], %[5]s::bigint[])"+
			" AS w(bucket, key, value, version) WHERE true%[6]s"+
			" ON CONFLICT (bucket, key)"+
			" DO UPDATE SET value = excluded.value, version = excluded.version",
			s.data, n.next(), n.next(), n.next(), n.next(), condition))
	}
	if p&decision != 0 {
		list = append(list, fmt.Sprintf("INSERT INTO %s (id, committed)"+
			" SELECT w.id, %s FROM pg_catalog.unnest(%s::pg_catalog.text[]) AS w(id) WHERE true%s",
			s.decisions, recorded(p), n.next(), condition))
	}
	for i := range list {
		list[i] = qualify(list[i])
	}
	return list
}

// commitAs returns a COMMIT that records the transaction under id, which has only letters, digits
// and -. The record is inserted at the last moment, because Settle waits for a transaction that has
// inserted it, and its client may be gone.
func (s *statements) commitAs(id string) string {
	return s.record(id) + "; COMMIT"
}

// commitSQLAs is commitAs for the app's SQL transaction. A transaction that has written nothing
// needs no record. The text fails if the app's own SQL has replaced the transaction by another one.
func (s *statements) commitSQLAs(id string, separately bool) string {
	if separately {
		return releaseOrigin + s.commitAs(id)
	}
	// A transaction gets a number with its first write.
	return releaseOrigin + s.setOwnRole + "; " + s.record(id) +
		" WHERE pg_catalog.txid_current_if_assigned() IS NOT NULL; " + s.restoreAppRole + "; COMMIT"
}

func (s *statements) record(id string) string {
	return "INSERT INTO " + s.decisions + " (id, committed) SELECT '" + id + "', " +
		s.recordedIf(false)
}
