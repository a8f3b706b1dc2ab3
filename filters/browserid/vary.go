package browserid

import (
	"net"
	"net/http"
	"strings"
)

// A variable is a WSGI environ variable that the id is bound to.
type variable struct {
	name string
	read func(*http.Request) string
}

// variables resolves environ names. The value of a name that no request has is the empty string, as
// in repoze.browserid.
func variables(names []string) []variable {
	var vs []variable
	for _, name := range names {
		read := environ(name)
		if read == nil {
			read = func(*http.Request) string { return "" }
		}
		vs = append(vs, variable{name, read})
	}
	return vs
}

func varyValues(vs []variable, r *http.Request) []string {
	if len(vs) == 0 {
		return nil
	}
	values := make([]string, len(vs))
	for i, v := range vs {
		values[i] = v.read(r)
	}
	return values
}

// environ returns a function that reads the WSGI environ variable name from a request, or nil if no
// request has it.
func environ(name string) func(*http.Request) string {
	switch name {
	case "REMOTE_ADDR":
		return func(r *http.Request) string { return hostOf(r.RemoteAddr) }
	case "REQUEST_METHOD":
		return func(r *http.Request) string { return r.Method }
	case "PATH_INFO":
		return func(r *http.Request) string { return r.URL.Path }
	case "QUERY_STRING":
		return func(r *http.Request) string { return r.URL.RawQuery }
	case "SERVER_NAME":
		return func(r *http.Request) string { return hostOf(localAddr(r)) }
	case "SERVER_PORT":
		return func(r *http.Request) string { return portOf(localAddr(r)) }
	case "SERVER_PROTOCOL":
		return func(r *http.Request) string { return r.Proto }
	case "wsgi.url_scheme":
		return func(r *http.Request) string {
			if isHTTPS(r) {
				return "https"
			}
			return "http"
		}
	case "CONTENT_TYPE", "CONTENT_LENGTH":
		return header(name)
	case "HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH":
		return nil // in an environ, these two have no HTTP_ prefix
	case "HTTP_HOST":
		return func(r *http.Request) string { return r.Host }
	}
	rest, ok := strings.CutPrefix(name, "HTTP_")
	if !ok || rest == "" || rest != strings.ToUpper(rest) || strings.Contains(rest, "-") {
		return nil
	}
	return header(rest)
}

// header returns a function that reads a header by its environ name. Several lines are joined with
// commas, as WSGI servers do.
func header(name string) func(*http.Request) string {
	key := http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	return func(r *http.Request) string {
		switch lines := r.Header[key]; len(lines) {
		case 0:
			return ""
		case 1:
			return lines[0]
		default:
			return strings.Join(lines, ", ")
		}
	}
}

func localAddr(r *http.Request) string {
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return addr.String()
	}
	return ""
}

func hostOf(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr // without a port: a filter in front may have set it so
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// environName returns the environ name of a header, to suggest it for a header's name.
func environName(header string) string {
	return "HTTP_" + strings.ToUpper(strings.ReplaceAll(header, "-", "_"))
}
