package forwarded_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/request/forwarded"
)

func TestRequestID(t *testing.T) {
	t.Parallel()
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, tt := range []struct {
		name   string
		header http.Header
		want   string
	}{
		{"none", nil, ""},
		{"an id", http.Header{"X-Request-Id": {"9f3c-AB_.:/+~@$"}}, "9f3c-AB_.:/+~@$"},
		{"the longest", http.Header{"X-Request-Id": {strings.Repeat("x", 128)}}, strings.Repeat("x", 128)},
		{"too long", http.Header{"X-Request-Id": {strings.Repeat("x", 129)}}, ""},
		{"a line break", http.Header{"X-Request-Id": {"a\nb"}}, ""},
		{"a quote", http.Header{"X-Request-Id": {`a"b`}}, ""},
		{"empty", http.Header{"X-Request-Id": {""}}, ""},
		{"two", http.Header{"X-Request-Id": {"a", "b"}}, ""},
		{"a trace", http.Header{"Traceparent": {"00-" + trace + "-00f067aa0ba902b7-01"}}, trace},
		{"an id and a trace", http.Header{
			"X-Request-Id": {"a"}, "Traceparent": {"00-" + trace + "-00f067aa0ba902b7-01"},
		}, "a"},
		{"a later version", http.Header{"Traceparent": {"01-" + trace + "-00f067aa0ba902b7-01-x"}}, trace},
		{"version 0 with more", http.Header{"Traceparent": {"00-" + trace + "-00f067aa0ba902b7-01-x"}}, ""},
		{"a forbidden version", http.Header{"Traceparent": {"ff-" + trace + "-00f067aa0ba902b7-01"}}, ""},
		{"upper case", http.Header{"Traceparent": {"00-" + strings.ToUpper(trace) + "-00f067aa0ba902b7-01"}}, ""},
		{"only zeros", http.Header{"Traceparent": {"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01"}}, ""},
		{"no parent", http.Header{"Traceparent": {"00-" + trace + "-0000000000000000-01"}}, ""},
		{"short", http.Header{"Traceparent": {"00-" + trace}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := forwarded.RequestID(tt.header); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
