package logging

import (
	"fmt"
	"io"
	"os"
	"time"
)

// Schedule gives the tests what a rotation by time does.
type Schedule struct{ schedule *schedule }

// NewSchedule returns the schedule of those parameters; seconds below 0 are no time of day.
func NewSchedule(when string, interval, seconds int, location *time.Location) (Schedule, error) {
	s, err := newSchedule(when, interval)
	if err != nil {
		return Schedule{}, err
	}
	s.location = location
	if seconds >= 0 {
		s.seconds = seconds
	}
	return Schedule{s}, nil
}

// Next returns when a file is due that was written at a time.
func (s Schedule) Next(written time.Time) time.Time { return s.schedule.next(written) }

// Suffix returns how a backup is called.
func (s Schedule) Suffix(at, now time.Time) string { return s.schedule.suffix(at, now) }

// OpenRotated opens a file that is rotated by size.
func OpenRotated(name string, bytes int64, backups int) (io.WriteCloser, error) {
	t := target{kind: toFile, name: name, rotation: &rotation{bytes: bytes, backups: backups}}
	f, err := openFile(t)
	if err != nil {
		return nil, err
	}
	report := func(message string, err error) { panic(fmt.Sprint(message, err)) }
	return closer{newStream(t, f, &stream{w: os.Stderr}, report)}, nil
}

type closer struct{ *stream }

func (c closer) Close() error { return c.close() }

// Evaluate returns the value of a Python expression.
func Evaluate(text string) (any, error) { return evaluate(text) }
