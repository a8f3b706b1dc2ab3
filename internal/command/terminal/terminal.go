// Package terminal tells whether output goes to a terminal, and makes text safe to show there.
//
//	if terminal.HasColors(os.Stderr) {
//		…
//	}
//	fmt.Fprintln(os.Stderr, terminal.Escape(text))
//
// The system is asked, by package golang.org/x/sys: the mode of a file does not tell a terminal from
// /dev/null.
package terminal

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Is reports whether w is a terminal, or wraps one with a method Unwrap() io.Writer.
func Is(w io.Writer) bool {
	f := file(w)
	if f == nil {
		return false
	}
	conn, err := f.SyscallConn() // f.Fd would make the file blocking
	if err != nil {
		return false
	}
	is := false
	err = conn.Control(func(fd uintptr) { is = isTerminal(fd) })
	return err == nil && is
}

// file returns the file that w is or wraps, or nil.
func file(w io.Writer) *os.File {
	for {
		switch v := w.(type) {
		case *os.File:
			return v
		case interface{ Unwrap() io.Writer }:
			w = v.Unwrap()
		default:
			return nil
		}
	}
}

// CanRewrite reports whether w is a terminal in which a line can be replaced.
func CanRewrite(w io.Writer) bool {
	if os.Getenv("TERM") == "dumb" || !Is(w) {
		return false
	}
	// the old console of Windows prints the codes
	return runtime.GOOS != "windows" || os.Getenv("WT_SESSION") != "" || os.Getenv("TERM") != ""
}

// HasColors reports whether w is a terminal that shows colours, and the user wants them: the
// variable NO_COLOR is unset or empty.
func HasColors(w io.Writer) bool { return os.Getenv("NO_COLOR") == "" && CanRewrite(w) }

// Escape replaces all characters that a terminal could act on, or that are invisible, by escape
// sequences of Go, such as \x1b. The result is one line.
func Escape(text string) string {
	if !strings.ContainsFunc(text, isUnsafe) && utf8.ValidString(text) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case isUnsafe(r):
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		default:
			b.WriteString(text[i : i+size])
		}
		i += size
	}
	return b.String()
}

func isUnsafe(r rune) bool { return !unicode.IsPrint(r) }
