// Package tracing is a filter that sends traces to an OpenTelemetry collector: a span for each
// request, with a span for each attempt, for waits in the queue of a contended key, for commits and
// for SQL statements.
//
// In an .ini file, in front of the filters retry and tm:
//
//	[pipeline:main]
//	pipeline = tracing egg:repoze.retry#retry egg:repoze.tm2#tm myapp
//
//	[filter:tracing]
//	use = egg:pasteline#tracing
//	service_name = shop
//	endpoint = http://127.0.0.1:4318/v1/traces
//
// In Go code, [New] returns a [Tracer], which is a middleware and a listener of package observe.
//
// The environment variables of OpenTelemetry (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME,
// OTEL_TRACES_SAMPLER and so on) apply where the section has no setting. OTEL_SDK_DISABLED=true
// turns the filter off. Spans are sent by HTTP as protobuf. When the pipeline is closed, the filter
// sends the rest, for as long as the setting flush_timeout allows.
//
// # Spans
//
// A request's span is named by its method and the pattern of its route, such as GET /items/{id},
// and has the attributes of OpenTelemetry's conventions for HTTP servers. Only a status of 500 and
// above makes it an error. An attempt that lost has an event that names the bucket, the key
// (shortened) and the request that won, whose id is the attribute pasteline.request.id of its span
// and the attribute request of its lines in the log.
//
// # Traces of clients
//
// A request with a traceparent field continues the client's trace. With public = true it begins a
// trace of its own with a link to the client's: clients on the internet should not decide which
// requests are sampled.
//
// # Secrets
//
// A span has no query string, header field other than User-Agent, argument of a statement or text of
// an error.
package tracing
