package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/pasteline/pasteline/internal/redact"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/order"
)

// Register adds the filter to r under "egg:pasteline#tracing".
func Register(r *pipeline.Registry) { pipeline.Filter(r, "egg:pasteline#tracing", build) }

// settings are the settings of an .ini section.
type settings struct {
	Endpoint     string          `ini:"endpoint" nonempty:"true" help:"URL of the collector, such as http://127.0.0.1:4318/v1/traces (default: OTEL_EXPORTER_OTLP_ENDPOINT, else https://localhost:4318/v1/traces)"`
	Headers      pipeline.Secret `ini:"headers" nonempty:"true" help:"header fields for the collector, such as api-key=abc, separated by commas"`
	Protocol     string          `ini:"protocol" default:"http/protobuf" oneof:"http/protobuf" help:"form in which spans are sent"`
	SampleRatio  float64         `ini:"sample_ratio" default:"-1" min:"-1" max:"1" help:"share of the requests that are traced, from 0 to 1, unless the client has decided; -1 for OTEL_TRACES_SAMPLER, else all"`
	ServiceName  string          `ini:"service_name" nonempty:"true" help:"name of the service in the traces (default: OTEL_SERVICE_NAME, else the name of the program)"`
	Public       bool            `ini:"public" default:"false" help:"link the trace of a client instead of continuing it"`
	FlushTimeout time.Duration   `ini:"flush_timeout" default:"5s" min:"1ms" help:"time to send the last spans when the pipeline is closed"`
}

func build(b *pipeline.Build, s settings) (func(http.Handler) http.Handler, error) {
	const inside = "a request that is run again would have a trace for each attempt; " +
		"write it in front of that"
	b.Require(
		order.Requirement{Filter: order.Retry, Place: order.NotInFront, Else: inside},
		order.Requirement{Filter: order.TM, Place: order.NotInFront, Else: inside},
	)
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return func(next http.Handler) http.Handler { return next }, nil
	}
	logger := b.Logger()
	provider, err := newProvider(b.Context(), s, logger)
	if err != nil {
		return nil, err
	}
	b.OnClose(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), s.FlushTimeout)
		defer cancel()
		if err := provider.Shutdown(ctx); err != nil {
			logger.WarnContext(ctx, "not all spans could be sent",
				slog.String("error", redact.Text(err.Error())))
		}
		return nil
	})
	t := New(Config{Provider: provider, Public: s.Public})
	b.Observe(t)
	return t.Middleware, nil
}

// newProvider returns a provider that sends spans in the background.
func newProvider(ctx context.Context, s settings, logger *slog.Logger) (
	*sdktrace.TracerProvider, error,
) {
	var to []otlptracehttp.Option
	if s.Endpoint != "" {
		u, err := url.Parse(s.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, &pipeline.Error{
				Key: "endpoint", Err: errors.New("want a URL such as http://127.0.0.1:4318/v1/traces"),
			}
		}
		to = append(to, otlptracehttp.WithEndpointURL(s.Endpoint))
	}
	if s.Headers != "" {
		headers, err := parseHeaders(s.Headers.Reveal())
		if err != nil {
			return nil, &pipeline.Error{Key: "headers", Err: err}
		}
		to = append(to, otlptracehttp.WithHeaders(headers))
	}
	exporter, err := otlptracehttp.New(ctx, to...)
	if err != nil {
		return nil, fmt.Errorf("the exporter of traces: %w", err)
	}
	own := resource.Default()
	if s.ServiceName != "" {
		own, err = resource.Merge(own,
			resource.NewSchemaless(attribute.String("service.name", s.ServiceName)))
		if err != nil {
			return nil, fmt.Errorf("the description of the service: %w", err)
		}
	}
	options := []sdktrace.TracerProviderOption{
		sdktrace.WithResource(own),
		sdktrace.WithBatcher(&loggedExporter{exporter, logger}),
	}
	if s.SampleRatio >= 0 {
		options = append(options, sdktrace.WithSampler(
			sdktrace.ParentBased(sdktrace.TraceIDRatioBased(s.SampleRatio))))
	}
	return sdktrace.NewTracerProvider(options...), nil
}

// parseHeaders parses "name=value,name=value".
func parseHeaders(text string) (map[string]string, error) {
	headers := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, ok := strings.Cut(part, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, errors.New("want name=value, and commas between several")
		}
		headers[name] = strings.TrimSpace(value)
	}
	return headers, nil
}

// A loggedExporter logs the errors of an exporter, which the SDK would print to standard error.
type loggedExporter struct {
	sdktrace.SpanExporter
	logger *slog.Logger
}

// ExportSpans sends spans. Those that can't be sent are dropped.
func (e *loggedExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if err := e.SpanExporter.ExportSpans(ctx, spans); err != nil {
		e.logger.WarnContext(ctx, "can't send spans to the collector", slog.Int("spans", len(spans)),
			slog.String("error", redact.Text(err.Error())))
	}
	return nil
}
