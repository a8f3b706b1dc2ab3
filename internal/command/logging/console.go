package logging

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/pasteline/pasteline/internal/command/terminal"
)

// The formats of a line. formatAuto is formatConsole on a terminal, and formatText elsewhere.
const (
	formatAuto    = "auto"
	formatText    = "text"
	formatJSON    = "json"
	formatConsole = "console"
)

// formatFor returns the format of the lines that go to w.
func formatFor(w io.Writer, format string) string {
	switch {
	case format != formatAuto:
		return format
	case terminal.Is(w):
		return formatConsole
	}
	return formatText
}

// A consoleHandler writes lines for people: time, level and message, then the attributes, and the
// attribute stack below, indented. No text can control the terminal.
type consoleHandler struct {
	w     io.Writer
	color bool
	attrs slog.Handler // writes the attributes, as slog's text, to text
	text  *captured    // shared by the handlers that WithAttrs and WithGroup return
}

type captured struct {
	mu   sync.Mutex // held by one call of Handle
	text bytes.Buffer
}

func newConsoleHandler(w io.Writer, color bool) *consoleHandler {
	h := &consoleHandler{w: w, color: color, text: &captured{}}
	h.attrs = slog.NewTextHandler(&h.text.text, &slog.HandlerOptions{Level: slog.Level(everything)})
	return h
}

// Enabled returns true: the level has been checked before.
func (*consoleHandler) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs returns a handler that adds attributes to each line.
func (h *consoleHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := *h
	next.attrs = h.attrs.WithAttrs(attrs)
	return &next
}

// WithGroup returns a handler that qualifies the keys of later attributes by a name.
func (h *consoleHandler) WithGroup(name string) slog.Handler {
	next := *h
	next.attrs = h.attrs.WithGroup(name)
	return &next
}

// Codes of ECMA-48 for the rendition of text.
const (
	plain  = "\x1b[0m"
	bold   = "\x1b[1m"
	faint  = "\x1b[2m"
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
)

// Handle writes a record by one call of Write.
func (h *consoleHandler) Handle(ctx context.Context, r slog.Record) error {
	attrs, stacks, err := h.attributes(ctx, r)
	if err != nil {
		return err
	}
	var b strings.Builder
	if !r.Time.IsZero() {
		h.paint(&b, faint, r.Time.Format("15:04:05.000"))
		b.WriteByte(' ')
	}
	level := r.Level.String()
	h.paint(&b, levelColor(r.Level), level+strings.Repeat(" ", max(5-len(level), 0)))
	b.WriteByte(' ')
	style := ""
	if r.Level >= slog.LevelWarn {
		style = bold
	}
	h.paint(&b, style, terminal.Escape(r.Message))
	if attrs != "" {
		b.WriteByte(' ')
		h.paint(&b, faint, attrs)
	}
	b.WriteByte('\n')
	for _, stack := range stacks {
		for line := range strings.Lines(strings.TrimRight(stack, "\n")) {
			line = strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\t", "    ")
			b.WriteString("    ")
			h.paint(&b, faint, terminal.Escape(line))
			b.WriteByte('\n')
		}
	}
	_, err = io.WriteString(h.w, b.String())
	return err
}

// attributes returns the attributes as slog's text handler writes them, which quotes everything
// that is not plain text, and the values of stack.
func (h *consoleHandler) attributes(ctx context.Context, r slog.Record) (text string,
	stacks []string, err error,
) {
	rest := slog.NewRecord(time.Time{}, r.Level, "", 0)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "stack" && a.Value.Kind() == slog.KindString {
			stacks = append(stacks, a.Value.String())
		} else {
			rest.AddAttrs(a)
		}
		return true
	})
	h.text.mu.Lock()
	defer h.text.mu.Unlock()
	h.text.text.Reset()
	err = h.attrs.Handle(ctx, rest)
	text = strings.TrimPrefix(h.text.text.String(), "level="+r.Level.String()+` msg=""`)
	return strings.TrimSpace(text), stacks, err
}

// paint writes a text in a rendition, unless that is "".
func (h *consoleHandler) paint(b *strings.Builder, style, text string) {
	if !h.color || style == "" || text == "" {
		b.WriteString(text)
		return
	}
	b.WriteString(style + text + plain)
}

func levelColor(level slog.Level) string {
	switch {
	case level >= slog.LevelError:
		return red
	case level >= slog.LevelWarn:
		return yellow
	case level >= slog.LevelInfo:
		return green
	}
	return cyan
}
