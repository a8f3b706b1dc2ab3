package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/pasteline/pasteline/bench/sites"
)

// firstPeriod is the length of a time slice in which each browser reads once at most.
const firstPeriod = time.Second

// Settings for the first reads, and for reads that are all inside of one slice, which lasts for a
// century.
var (
	alwaysFirst = []string{"timeout = 24h", "period = " + firstPeriod.String()}
	neverFirst  = []string{"timeout = 24h", "period = 876000h"}
)

// A filled is a folder with a site's sessions, and the browsers that they belong to.
type filled struct {
	dir  string
	from browsers
	used time.Time // the end of the last use of any of the sessions
}

// A reader measures reads of the sessions of f. It calls before when the run of wrk begins.
type reader func(
	ctx context.Context, s *server, connections int, f *filled, before func(),
) (result, error)

// fill makes n sessions in a folder, through the site itself in this process, and one more.
func (b *bench) fill(
	ctx context.Context, name string, settings sites.Settings, workers, n int,
) (*filled, error) {
	f := &filled{dir: settings.Dir, from: browsers{file: filepath.Join(settings.Dir, "cookies")}}
	fillIn := func(dir string) error {
		staged := settings
		staged.Dir = dir
		site, err := sites.Open(ctx, name, staged)
		if err != nil {
			return err
		}
		visitors, err := sites.Visitors(ctx, site, workers, n+1)
		for _, v := range visitors {
			f.from.cookies = append(f.from.cookies, v.Cookie())
		}
		return errors.Join(err, site.Close())
	}
	const need = 1 << 30
	err := sites.Staged(settings.Dir, need, fillIn)
	f.used = time.Now()
	return f, errors.Join(err, f.from.save())
}

// firstReads measures reads, each of a session in a slice in which it was not used before.
func (b *bench) firstReads(
	ctx context.Context, s *server, connections int, f *filled, before func(),
) (result, error) {
	time.Sleep(time.Until(f.used.Add(2 * firstPeriod)))
	r, err := b.reads(ctx, s, connections, f, before)
	if err == nil && r.back > 0 && r.back < firstPeriod {
		err = fmt.Errorf("a browser came back after %v, within its slice of %v: "+
			"more than %d browsers are needed", r.back, firstPeriod, len(f.from.cookies))
	}
	return r, err
}

// reads measures reads of the sessions in f. One session, which wrk never reads, shows that the
// program has them.
func (b *bench) reads(
	ctx context.Context, s *server, connections int, f *filled, before func(),
) (result, error) {
	spare := f.from
	spare.cookies = spare.cookies[len(spare.cookies)-1:]
	numbers, err := s.numbers(ctx, spare)
	if err != nil {
		return result{}, err
	}
	if numbers[0] != 1 {
		return result{}, fmt.Errorf("a session has the number %d, want 1", numbers[0])
	}
	if _, err := s.drive(ctx, connections, b.warm, f.from, helloReturning); err != nil {
		return result{}, err
	}
	before()
	r, err := s.drive(ctx, connections, b.duration, f.from, read)
	f.used = time.Now()
	return r, err
}

// first measures the first read of a session in its slice, against a read inside of the slice, and
// against scs, which has no slices.
func (b *bench) first(ctx context.Context) (err error) {
	dir, remove, err := tempDir(&err)
	if err != nil {
		return err
	}
	defer remove()
	kept := map[string]*filled{}
	for _, name := range []string{sites.Pasteline, sites.SCSBolt} {
		settings := sites.Settings{Dir: filepath.Join(dir, name), Ini: alwaysFirst}
		if kept[name], err = b.fill(ctx, name, settings, clients, b.visitors); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	for range b.count {
		for _, connections := range []int{1, clients} {
			for _, c := range []struct {
				slice, name string
				settings    []string
				reads       reader
			}{
				{"new", sites.Pasteline, alwaysFirst, b.firstReads},
				{"none", sites.SCSBolt, nil, b.reads},
				{"same", sites.Pasteline, neverFirst, b.reads},
			} {
				name := fmt.Sprintf("HTTPFirst/slice=%s/clients=%d/who=%s",
					c.slice, connections, c.name)
				how := setup{dir: kept[c.name].dir, settings: c.settings}
				err := b.with(ctx, c.name, how, func(s *server) error {
					r, err := c.reads(ctx, s, connections, kept[c.name], func() {})
					if err != nil {
						return err
					}
					return r.line(b.w, name)
				})
				if err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	return nil
}

// with starts a program, calls f, and ends the program.
func (b *bench) with(
	ctx context.Context, name string, how setup, f func(*server) error,
) (err error) {
	s, err := b.start(ctx, name, how)
	if err != nil {
		return err
	}
	defer s.stop(&err)
	return f(s)
}
