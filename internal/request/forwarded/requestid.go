package forwarded

import (
	"net/http"
	"strings"
)

// maxRequestID is the longest request id in bytes.
const maxRequestID = 128

// RequestID returns the id that a proxy has given to a request: the X-Request-Id, else the trace id
// of traceparent (W3C Trace Context), else "". A malformed field counts as absent. Whether the proxy
// is trusted is for the caller to check.
func RequestID(header http.Header) string {
	if lines := header["X-Request-Id"]; len(lines) == 1 && isRequestID(lines[0]) {
		return lines[0]
	}
	if lines := header["Traceparent"]; len(lines) == 1 {
		return traceID(lines[0])
	}
	return ""
}

// isRequestID reports whether s can be a request id: 1 to 128 letters, digits and some signs, which
// need no quotes in a log.
func isRequestID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !isAlphanumeric(c) && strings.IndexByte("-_.:/+~@$", c) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= maxRequestID
}

func isAlphanumeric(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// traceID returns the trace id of a traceparent "version-traceid-parentid-flags", or "".
func traceID(s string) string {
	parts := strings.Split(s, "-")
	if len(parts) < 4 || !isHex(parts[0], 2) || parts[0] == "ff" || !isHex(parts[1], 32) ||
		!isHex(parts[2], 16) || !isHex(parts[3], 2) || len(parts) > 4 && parts[0] == "00" ||
		strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" {
		return ""
	}
	return parts[1]
}

// isHex reports whether s consists of n hexadecimal digits in lower case.
func isHex(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "0123456789abcdef") == ""
}
