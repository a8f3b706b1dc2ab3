// Package sqltext looks at SQL that an app runs inside of a transaction which is not its own to end.
//
// It knows as much of the language as it takes to find where statements begin: comments, quoted strings and names, and PostgreSQL's
// dollar quotes.
package sqltext

import "strings"

// EndsTransaction reports whether one of the statements in sql begins or ends a transaction by itself: BEGIN, START TRANSACTION, COMMIT,
// END, ROLLBACK (but not ROLLBACK TO a savepoint), ABORT, PREPARE TRANSACTION, SET AUTOCOMMIT, and XA.
func EndsTransaction(sql string) bool {
	for sql != "" {
		var words [3]string
		words, sql = statement(sql)
		switch words[0] {
		case "BEGIN", "COMMIT", "END", "ABORT", "XA":
			return true
		case "CREATE":
			return false // what follows may be the body of a trigger or function, with a BEGIN and END of its own
		case "ROLLBACK":
			// ROLLBACK [WORK | TRANSACTION] TO [SAVEPOINT] name
			if words[1] == "TO" || (words[1] == "WORK" || words[1] == "TRANSACTION") && words[2] == "TO" {
				continue
			}
			return true
		case "START", "PREPARE":
			if words[1] == "TRANSACTION" {
				return true
			}
		case "SET":
			if strings.HasPrefix(words[1], "AUTOCOMMIT") || words[1] == "SESSION" && words[2] == "AUTOCOMMIT" {
				return true
			}
		}
	}
	return false
}

// statement returns the first words of the first statement, in capitals, and what follows its semicolon.
func statement(sql string) (words [3]string, rest string) {
	n := 0
	for sql != "" {
		switch c := sql[0]; {
		case c == ';':
			return words, sql[1:]
		case strings.HasPrefix(sql, "--") || c == '#':
			_, sql, _ = strings.Cut(sql, "\n")
			continue
		case strings.HasPrefix(sql, "/*"):
			sql = sql[comment(sql):]
			continue
		case c == '\'' || c == '"' || c == '`':
			sql = sql[quoted(sql, c):]
			n++
			continue
		case c == '$':
			if tag, ok := dollar(sql); ok {
				_, sql, _ = strings.Cut(sql[len(tag):], tag)
				n++
				continue
			}
			sql = sql[1:]
		case isLetter(c):
			length := 1
			for length < len(sql) && (isLetter(sql[length]) || sql[length] >= '0' && sql[length] <= '9' || sql[length] == '$') {
				length++
			}
			if n < len(words) {
				words[n] = strings.ToUpper(sql[:length])
			}
			n++
			sql = sql[length:]
		default:
			sql = sql[1:]
		}
	}
	return words, ""
}

func isLetter(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

// comment returns the length of a comment, in which there may be others.
func comment(sql string) int {
	depth := 0
	for i := 0; i < len(sql); i++ {
		switch {
		case strings.HasPrefix(sql[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(sql[i:], "*/"):
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(sql)
}

// quoted returns the length of what is in quotes, which are doubled inside. A backslash escapes in some dialects and strings, and in
// others not; what follows is looked at in either case by assuming not, so that rather too much is taken for a statement.
func quoted(sql string, quote byte) int {
	for i := 1; i < len(sql); i++ {
		if sql[i] != quote {
			continue
		}
		if i+1 < len(sql) && sql[i+1] == quote {
			i++
			continue
		}
		return i + 1
	}
	return len(sql)
}

// dollar returns the tag that begins a dollar quote, such as $$ or $body$.
func dollar(sql string) (tag string, ok bool) {
	for i := 1; i < len(sql); i++ {
		switch {
		case sql[i] == '$':
			return sql[:i+1], true
		case !isLetter(sql[i]) && (i == 1 || sql[i] < '0' || sql[i] > '9'):
			return "", false
		}
	}
	return "", false
}
