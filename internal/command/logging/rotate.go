package logging

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A rotation defines when a log file is renamed to a backup, and its name, as Python's handlers do.
type rotation struct {
	bytes    int64     // size that the file must not reach; 0 with a schedule
	backups  int       // number of backups; with a schedule, 0 means all
	schedule *schedule // nil for a rotation by size
}

// due reports whether the file must be rotated before a line of that many bytes is written. An
// empty file is never rotated because of its size, and only regular files are rotated at all.
func (r *rotation) due(info fs.FileInfo, line int, at, now time.Time) bool {
	switch {
	case r == nil || !info.Mode().IsRegular():
		return false
	case r.schedule != nil:
		return !now.Before(at)
	}
	return info.Size() > 0 && info.Size()+int64(line) >= r.bytes
}

// next returns the time of the rotation of a file that was last written at a time. It is zero for a
// rotation by size.
func (r *rotation) next(written time.Time) time.Time {
	if r == nil || r.schedule == nil {
		return time.Time{}
	}
	return r.schedule.next(written)
}

// putAside renames the file at path, whose rotation was due at a time, to a backup, and removes
// surplus backups. The file may be missing. It never replaces a backup of a schedule: the file then
// keeps its name.
func (r *rotation) putAside(path string, at, now time.Time) error {
	if r.schedule == nil {
		return r.shift(path)
	}
	backup := path + "." + r.schedule.suffix(at, now)
	switch _, err := os.Lstat(backup); {
	case err == nil:
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := os.Rename(path, backup); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return r.prune(path)
}

// shift renames site.log.1 to site.log.2 and so on, and site.log to site.log.1. It starts with the
// oldest, so that an interruption loses nothing.
func (r *rotation) shift(path string) error {
	var numbers []int
	err := eachBackup(path, func(_, suffix string) {
		if n, err := strconv.Atoi(suffix); err == nil && 0 < n && n < r.backups &&
			strconv.Itoa(n) == suffix {
			numbers = append(numbers, n)
		}
	})
	if err != nil {
		return err
	}
	slices.Sort(numbers)
	for _, n := range slices.Backward(numbers) {
		if err := os.Rename(fmt.Sprintf("%s.%d", path, n),
			fmt.Sprintf("%s.%d", path, n+1)); err != nil {
			return err
		}
	}
	if err := os.Rename(path, path+".1"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// eachBackup calls do for each file beside path whose name is that of path and a suffix.
func eachBackup(path string, do func(name, suffix string)) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if suffix, ok := strings.CutPrefix(entry.Name(), filepath.Base(path)+"."); ok {
			do(filepath.Join(filepath.Dir(path), entry.Name()), suffix)
		}
	}
	return nil
}

// prune removes the oldest backups of a schedule, including compressed ones.
func (r *rotation) prune(path string) error {
	if r.backups == 0 {
		return nil
	}
	var backups []string
	err := eachBackup(path, func(name, suffix string) {
		if r.schedule.made(suffix) {
			backups = append(backups, name)
		}
	})
	slices.Sort(backups)
	errs := []error{err}
	for _, name := range backups[:max(len(backups)-r.backups, 0)] {
		errs = append(errs, os.Remove(name))
	}
	return errors.Join(errs...)
}

// A schedule has the times of rotations: every interval after the last write, or at a time of day.
type schedule struct {
	interval time.Duration
	layout   string // of the time in a backup's name
	location *time.Location

	daily   bool // at a time of day
	weekly  bool // and on a weekday
	weekday time.Weekday
	seconds int // from the beginning of the day; 86400 is its end
}

const day = 24 * time.Hour

// newSchedule converts Python's parameters when and interval.
func newSchedule(when string, interval int) (*schedule, error) {
	s := &schedule{location: time.Local, layout: "2006-01-02", seconds: int(day / time.Second)}
	unit := day
	switch name := strings.ToUpper(when); {
	case name == "S":
		unit, s.layout = time.Second, "2006-01-02_15-04-05"
	case name == "M":
		unit, s.layout = time.Minute, "2006-01-02_15-04"
	case name == "H":
		unit, s.layout = time.Hour, "2006-01-02_15"
	case name == "D":
	case name == "MIDNIGHT":
		s.daily = true
	case len(name) == 2 && name[0] == 'W' && '0' <= name[1] && name[1] <= '6':
		// Monday is 0 in Python
		unit, s.daily, s.weekly, s.weekday = 7*day, true, true, time.Weekday((name[1]-'0'+1)%7)
	default:
		return nil, fmt.Errorf("%q is no time to rotate at: want S, M, H, D, midnight or W0 to W6",
			when)
	}
	const longest = 100 * 365 * day // avoids an overflow
	if interval < 1 || time.Duration(interval) > longest/unit {
		return nil, fmt.Errorf("%d is no interval to rotate at: want 1 or a few more", interval)
	}
	s.interval = time.Duration(interval) * unit
	return s, nil
}

// next returns the time of the rotation of a file that was last written at a time. Times of day are
// local times, also when daylight saving time begins or ends.
func (s *schedule) next(written time.Time) time.Time {
	t := written.In(s.location).Truncate(time.Second)
	if !s.daily {
		return t.Add(s.interval)
	}
	year, month, date := t.Date()
	if !s.on(year, month, date).After(t) {
		date++
	}
	wait := int(s.interval/day) - 1
	if s.weekly {
		today := time.Date(year, month, date, 12, 0, 0, 0, s.location).Weekday()
		wait = int(s.interval/day) - 7 + int(s.weekday-today+7)%7
	}
	return s.on(year, month, date+wait)
}

// on returns the schedule's time of day on a date.
func (s *schedule) on(year int, month time.Month, date int) time.Time {
	return time.Date(year, month, date, 0, 0, s.seconds, 0, s.location)
}

// suffix returns the suffix of a backup that was due at a time: the beginning of its interval, in
// the time zone of now.
func (s *schedule) suffix(at, now time.Time) string {
	began := at.Add(-s.interval).In(s.location)
	switch is := now.In(s.location).IsDST(); {
	case is == began.IsDST():
	case is:
		began = began.Add(time.Hour)
	default:
		began = began.Add(-time.Hour)
	}
	return began.Format(s.layout)
}

var compressed = regexp.MustCompile(`^(\.\w+)?$`)

// made reports whether suffix is that of a backup of this schedule.
func (s *schedule) made(suffix string) bool {
	if len(suffix) < len(s.layout) || !compressed.MatchString(suffix[len(s.layout):]) {
		return false
	}
	_, err := time.Parse(s.layout, suffix[:len(s.layout)])
	return err == nil
}

// equal reports whether two rotations are the same.
func (r *rotation) equal(other *rotation) bool {
	if r == nil || other == nil {
		return r == other
	}
	return r.bytes == other.bytes && r.backups == other.backups &&
		*cmp.Or(r.schedule, new(schedule)) == *cmp.Or(other.schedule, new(schedule))
}
