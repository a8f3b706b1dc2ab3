package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/pasteline/pasteline/bench/load"
	"github.com/pasteline/pasteline/bench/sites"
)

// programs are compared over HTTP; those that are not whole only with the usual connections.
var programs = []struct {
	name  string
	whole bool
}{
	{sites.Pasteline, true},
	{sites.SCSBolt, true},
	{sites.BoltGroup, true},
	{sites.SCSBoltTuned, false},
	{sites.SCSBoltIdle, false},
}

var works = []work{helloReturning, helloNew, read, incr}

const (
	many    = 1024 // the largest number of connections
	readers = 32   // connections that read beside writers
	writers = 4
)

// http measures the programs one after the other, and repeats that.
func (b *bench) http(ctx context.Context) error {
	for round := range b.count {
		for _, p := range programs {
			connections := []int{clients}
			if p.whole {
				connections = b.connections
			}
			if err := b.program(ctx, round, p.name, connections); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	return nil
}

// program measures all works of one started program.
func (b *bench) program(
	ctx context.Context, round int, name string, connections []int,
) (err error) {
	wantedAt := map[string][]int{}
	for _, w := range works {
		for _, n := range connections {
			forMemory := w.name == incr.name && n == many && wanted(round, memoryAfter(name))
			if forMemory || wanted(round, httpName(w, n, name)) {
				wantedAt[w.name] = append(wantedAt[w.name], n)
			}
		}
	}
	if len(wantedAt) == 0 {
		return nil
	}
	s, err := b.start(ctx, name, setup{})
	if err != nil {
		return err
	}
	defer s.stop(&err)
	if err := b.sameRoom(ctx, s); err != nil {
		return err
	}
	idle, err := s.memory("VmRSS")
	if err != nil {
		return err
	}
	err = load.Line(b.w, "Start/who="+name, 1,
		load.Nanoseconds(s.took, "start-ns"), load.Bytes(idle, "rss-B"))
	if err != nil {
		return err
	}
	from, err := s.browsers(ctx, b.browsers)
	if err != nil {
		return err
	}
	for _, w := range works {
		if len(wantedAt[w.name]) == 0 {
			continue
		}
		if _, err := s.drive(ctx, clients, b.warm, from, w); err != nil {
			return err
		}
		for _, n := range wantedAt[w.name] {
			if err := b.measure(ctx, s, httpName(w, n, name), n, from, w); err != nil {
				return err
			}
		}
	}
	if slices.Contains(wantedAt[incr.name], many) {
		resident, err := s.memory("VmRSS")
		if err != nil {
			return err
		}
		if err := load.Line(b.w, memoryAfter(name), 1, load.Bytes(resident, "rss-B")); err != nil {
			return err
		}
	}
	if wanted(round, oneName(name)) {
		if err := b.one(ctx, s); err != nil {
			return err
		}
	}
	if len(connections) == 1 {
		return nil
	}
	return b.beside(ctx, s, from)
}

// sameRoom returns an error if the garbage collector of a program has much more or less room than
// that of the first program, Pasteline.
func (b *bench) sameRoom(ctx context.Context, s *server) error {
	var text bytes.Buffer
	if err := s.get(ctx, "/state", "", &text); err != nil {
		return err
	}
	var state sites.State
	if err := json.Unmarshal(text.Bytes(), &state); err != nil {
		return err
	}
	if b.goal == 0 {
		b.goal = state.HeapGoal
	}
	if ratio := float64(state.HeapGoal) / float64(b.goal); ratio < 0.8 || ratio > 1.25 {
		return fmt.Errorf("its garbage collector runs at %d bytes of heap, that of %s at %d: "+
			"give both the same ballast", state.HeapGoal, programs[0].name, b.goal)
	}
	return nil
}

func memoryAfter(name string) string {
	return fmt.Sprintf("MemoryAfter/connections=%d/who=%s", many, name)
}

func oneName(name string) string { return "HTTPOneSession/who=" + name }

func httpName(w work, connections int, name string) string {
	return fmt.Sprintf("HTTP/work=%s/clients=%d/who=%s", w.name, connections, name)
}

// measure prints the line of one run. After increments it compares the numbers of the browsers.
func (b *bench) measure(
	ctx context.Context, s *server, name string, connections int, from browsers, w work,
) error {
	if w.name == incr.name {
		return b.counted(ctx, s, name, from, func() (result, error) {
			return s.drive(ctx, connections, b.duration, from, w)
		})
	}
	r, err := s.drive(ctx, connections, b.duration, from, w)
	if err != nil {
		return err
	}
	return r.line(b.w, name)
}

// counted prints the line of a run of increments, after it has compared the numbers of the
// browsers.
func (b *bench) counted(
	ctx context.Context, s *server, name string, from browsers, run func() (result, error),
) error {
	before, err := s.numbers(ctx, from)
	if err != nil {
		return err
	}
	r, err := run()
	if err != nil {
		return err
	}
	after, err := s.numbers(ctx, from)
	if err != nil {
		return err
	}
	metrics, err := increments(r, before, after)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return r.line(b.w, name, metrics...)
}

// one has all connections increment one session. Requests may fail.
func (b *bench) one(ctx context.Context, s *server) error {
	from, err := s.browsers(ctx, 1)
	if err != nil {
		return err
	}
	return b.counted(ctx, s, oneName(s.name), from, func() (result, error) {
		return s.wrk(ctx, clients, b.duration, from, incr)
	})
}

// beside has some connections read while others increment.
func (b *bench) beside(ctx context.Context, s *server, from browsers) error {
	both := []struct {
		work        work
		connections int
		result      result
		err         error
	}{{work: read, connections: readers}, {work: incr, connections: writers}}
	var running sync.WaitGroup
	for i := range both {
		running.Go(func() {
			one := &both[i]
			one.result, one.err = s.drive(ctx, one.connections, b.duration, from, one.work)
		})
	}
	running.Wait()
	if err := errors.Join(both[0].err, both[1].err); err != nil {
		return err
	}
	for _, one := range both {
		name := fmt.Sprintf("HTTPBeside/work=%s/clients=%d/who=%s",
			one.work.name, one.connections, s.name)
		if err := one.result.line(b.w, name); err != nil {
			return err
		}
	}
	return nil
}
