package urlmap

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/pasteline/pasteline/mount"
)

// A place is a path, of one host or of all hosts, below which an app is mounted.
type place struct {
	host string // in lower case; "" for all
	port string // "" for all; only together with a host
	path string // with a leading slash and no trailing one; "" for the whole site
}

// String returns the place in the syntax of a key.
func (p place) String() string {
	s := ""
	if p.host != "" {
		s = "domain " + p.host + " "
	}
	if p.port != "" {
		s += "port " + p.port + " "
	}
	return s + cmp.Or(p.path, "/")
}

// parsePlace parses a key such as "/blog" or "domain example.org port 8080 /blog".
func parsePlace(key string) (place, error) {
	var p place
	havePath := false
	words := strings.Fields(key)
	for i := 0; i < len(words); i++ {
		word, next := words[i], ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		var err error
		switch {
		case word == "domain" || word == "port":
			i++
			err = p.restrict(word, next)
		case havePath:
			err = fmt.Errorf("%q is a second path: want one path, without blanks", word)
		default:
			havePath = true
			p.path, err = cleanPath(word, p.host != "")
		}
		if err != nil {
			return place{}, fmt.Errorf("place %q: %w", key, err)
		}
	}
	if p.port != "" && p.host == "" {
		return place{}, fmt.Errorf("place %q: "+
			"a port needs a domain: write \"domain example.org port %s /\"", key, p.port)
	}
	return p, nil
}

// restrict sets the value that follows the word domain or port.
func (p *place) restrict(word, value string) error {
	switch {
	case value == "" && word == "domain":
		return errors.New(`a name is missing after "domain", such as example.org`)
	case value == "":
		return errors.New(`a number is missing after "port", such as 8080`)
	case word == "domain" && p.host != "", word == "port" && p.port != "":
		return fmt.Errorf("%q is given twice: want one", word)
	case word == "domain":
		p.host = strings.ToLower(strings.Trim(value, "[]"))
		isIP := net.ParseIP(p.host) != nil
		if strings.Contains(p.host, "/") || strings.Contains(p.host, ":") && !isIP {
			return fmt.Errorf("%q is not a domain: "+
				`write "domain example.org port 8080 /path", with blanks in between`, value)
		}
		return nil
	}
	n, err := strconv.ParseUint(value, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("%q is not a port: want a number from 1 to 65535", value)
	}
	p.port = strconv.FormatUint(n, 10)
	return nil
}

// cleanPath normalizes a path for comparison with requests. After a domain the leading slash may be
// omitted, as in Paste.
func cleanPath(path string, slashImplied bool) (string, error) {
	switch {
	case path == "http" || path == "https" || strings.Contains(path, "://"):
		return "", errors.New("a place is not a URL " +
			"(and a key of an .ini file ends at its first colon): " +
			`write "domain example.org /path"`)
	case !strings.HasPrefix(path, "/") && !slashImplied:
		return "", fmt.Errorf(`a path begins with a slash: write "/%s"`, path)
	}
	return strings.TrimRight(single("/"+path), "/"), nil
}

// finish sorts the entries into the order in which they are tried.
func (m *urlMap) finish(debug bool) http.Handler {
	slices.SortFunc(m.entries, func(a, b entry) int {
		return cmp.Or(
			-cmp.Compare(min(len(a.host), 1), min(len(b.host), 1)), // places with a host first
			-cmp.Compare(len(a.path), len(b.path)),
			-cmp.Compare(len(a.port), len(b.port)), // then places with a port
			cmp.Compare(a.String(), b.String()))
	})
	if m.notFound == nil {
		m.notFound = m.defaultNotFound(debug)
	}
	return m
}

// defaultNotFound returns a handler that answers 404; with debug it lists the places.
func (m *urlMap) defaultNotFound(debug bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(http.StatusNotFound)
		io.WriteString(w, "Not Found\n")
		if !debug {
			return
		}
		fmt.Fprintf(w, "\nNo app is mounted at path %q of host %q.\n", r.URL.Path, r.Host)
		if name := mount.FromContext(r.Context()); name != "" {
			fmt.Fprintf(w, "(The path is relative to %q, where this urlmap is mounted.)\n", name)
		}
		io.WriteString(w, "\nThe places are:\n")
		for _, e := range m.entries {
			fmt.Fprintf(w, "  %s\n", e)
		}
	})
}
