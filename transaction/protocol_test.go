package transaction_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/resource"
)

var update = flag.Bool("update", false, "write the files of testdata anew")

// script is a data manager that writes down what it is told, and fails or panics where it is told
// to. It commits in one phase only; prepares adds that it can prepare.
type script struct {
	name     string
	readOnly bool
	fails    map[string]string // step: "error", "panic", "exit", "doubt" or "transient"
	log      *[]string
	prepared []bool // what Prepared said in Commit
	recorder string // the result of Recorder in Prepare
}

func (s *script) step(name string) error {
	*s.log = append(*s.log, s.name+"."+name)
	switch kind := s.fails[name]; kind {
	case "":
		return nil
	case "panic":
		panic(s.name + "." + name)
	case "exit":
		runtime.Goexit()
		return nil
	case "doubt":
		return fmt.Errorf("%s.%s: answer lost: %w", s.name, name, transaction.ErrInDoubt)
	case "transient":
		return luckless(s.name + "." + name)
	default:
		return boom(s.name + "." + name)
	}
}

func (s *script) SortKey() string {
	if s.fails["sortkey"] != "" {
		panic(s.name + ".sortkey")
	}
	return s.name
}

func (s *script) Commit(_ context.Context, t resource.Txn) error {
	s.prepared = append(s.prepared, t.Prepared())
	return s.step("commit")
}

func (s *script) RecorderID() string                        { return s.name }
func (s *script) Forget(context.Context, resource.Txn)      { _ = s.step("forget") }
func (s *script) Abort(context.Context, resource.Txn) error { return s.step("abort") }
func (s *script) ReadOnly() bool                            { return s.readOnly }

type prepares struct{ *script }

func (p prepares) Prepare(_ context.Context, t resource.Txn) error {
	p.recorder = t.Recorder()
	return p.step("prepare")
}
func (p prepares) Finish(context.Context, resource.Txn) error { return p.step("finish") }

// cast makes managers from a text of one letter each: p can prepare, o can only commit in one
// phase, r reads only (and can only commit in one phase). They are named in order, and join in the
// opposite order.
func cast(letters string, log *[]string) map[string]*script {
	scripts := map[string]*script{}
	for i, letter := range letters {
		name := fmt.Sprintf("%c%d", letter, i+1)
		scripts[name] = &script{
			name: name, readOnly: letter == 'r', fails: map[string]string{},
			log: log,
		}
	}
	return scripts
}

func manage(s *script) resource.DataManager {
	if strings.HasPrefix(s.name, "p") {
		return prepares{s}
	}
	return s
}

func joinAll(t *testing.T, txn *transaction.Txn, scripts map[string]*script) {
	t.Helper()
	for _, name := range slices.SortedFunc(maps.Keys(scripts),
		func(a, b string) int { return strings.Compare(b[1:], a[1:]) }) {
		if err := txn.Join(manage(scripts[name])); err != nil {
			t.Fatal(err)
		}
	}
}

// Every step fails, in every way, at every position, in every cast; what was done and returned is
// compared as text.
func TestProtocol(t *testing.T) {
	t.Parallel()
	var got bytes.Buffer
	play := func(letters, who, step, kind, who2, step2 string) {
		var log []string
		scripts := cast(letters, &log)
		title := letters
		if who != "" {
			scripts[who].fails[step] = kind
			title += fmt.Sprintf(", %s of %s.%s", kind, who, step)
		}
		if who2 != "" {
			scripts[who2].fails[step2] = "panic"
			title += fmt.Sprintf(", panic of %s.%s", who2, step2)
		}
		ctx, txn := transaction.Begin(t.Context())
		joinAll(t, txn, scripts)
		err := txn.Commit(ctx)
		if who != "" && step != "sortkey" && !slices.Contains(log, who+"."+step) {
			return // it wasn't asked to
		}
		result := txn.Status().String()
		if err != nil {
			result += ", " + describe(err)
			if errors.Is(err, transaction.ErrOnePhase) {
				result = "commit failed, " + err.Error()
			}
		}
		fmt.Fprintf(&got, "%s\n\t%s\n\t%s\n", title, strings.Join(log, " "), result)
		if err := txn.Abort(ctx); err != nil && !errors.Is(err, transaction.ErrEnded) {
			t.Errorf("%s: abort after the commit: %v", title, err)
		}
	}
	for _, letters := range []string{
		"o", "p", "r", "pp", "po", "op", "oo", "rr", "ro", "rp", "ppp",
		"opp", "rop", "ror", "rpo", "oor",
	} {
		play(letters, "", "", "", "", "")
		for i, letter := range letters {
			who := fmt.Sprintf("%c%d", letter, i+1)
			for _, step := range []string{"sortkey", "prepare", "commit", "finish", "abort"} {
				for _, kind := range []string{"error", "panic", "doubt"} {
					possible := letter == 'p' || step == "commit" || step == "abort" ||
						step == "sortkey"
					if possible && (step != "sortkey" || kind == "panic") &&
						(kind != "doubt" || step == "commit") {
						play(letters, who, step, kind, "", "")
					}
				}
			}
		}
	}
	// Failing to undo doesn't keep the others from being undone.
	for _, who2 := range []string{"o1", "p2", "p3"} {
		for _, failure := range [][2]string{
			{"p2", "prepare"},
			{"p3", "prepare"},
			{"o1", "commit"},
		} {
			play("opp", failure[0], failure[1], "error", who2, "abort")
		}
	}

	const file = "testdata/protocol.txt"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s differs (-want +got); see -update:\n%s", file, diff)
	}
}

// The rules that recovery depends on, whatever fails: each look at the log stands for a crash just
// after that step.
func TestProtocolOrder(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for range 20_000 {
		var letters strings.Builder
		onePhase := 0
		for range random.IntN(6) {
			letter := "ppppro"[random.IntN(6)]
			if letter == 'o' {
				onePhase++
			}
			letters.WriteByte(letter)
		}
		var log []string
		scripts := cast(letters.String(), &log)
		for _, s := range scripts {
			for _, step := range []string{"prepare", "commit", "finish", "abort"} {
				kinds := []string{"error", "panic", "transient", "doubt"}
				if step != "commit" {
					kinds = kinds[:3]
				}
				if random.IntN(8) == 0 {
					s.fails[step] = kinds[random.IntN(len(kinds))]
				}
			}
		}
		ctx, txn := transaction.Begin(t.Context())
		joinAll(t, txn, scripts)
		if random.IntN(10) == 0 {
			if err := txn.Doom(); err != nil {
				t.Fatal(err)
			}
		}
		doomed := txn.IsDoomed()
		err := txn.Commit(ctx)
		status := txn.Status()
		_ = txn.Abort(ctx) // its errors are those that were asked for

		var faults []string
		for name, s := range scripts {
			faults = append(faults, fmt.Sprint(name, s.fails))
		}
		if problem := check(scripts, log, onePhase, doomed, err, status); problem != "" {
			t.Fatalf("%s\nmanagers %v\nlog %v\nerror %v\nseed %d", problem, faults, log, err, seed)
		}
	}
}

func check(scripts map[string]*script, log []string, onePhase int, doomed bool, err error,
	status transaction.Status,
) string {
	done := func(line string) bool {
		name, step, _ := strings.Cut(line, ".")
		return slices.Contains(log, line) && scripts[name].fails[step] == ""
	}
	var decided, writers int
	decision := -1
	for name, s := range scripts {
		told := 0
		for _, step := range []string{"prepare", "commit", "finish", "abort"} {
			n := 0
			for _, line := range log {
				if line == name+"."+step {
					n++
				}
			}
			if n > 1 {
				return name + " was told twice to " + step
			}
			if done(name+"."+step) && step != "prepare" {
				told++
			}
		}
		if told > 1 {
			return name + " was told two ends"
		}
		if s.readOnly {
			continue
		}
		writers++
		if i := slices.Index(log, name+".commit"); i >= 0 {
			decision = i
			if done(name + ".commit") {
				decided++
			}
			others := slices.ContainsFunc(log[:i],
				func(line string) bool { return strings.HasSuffix(line, ".prepare") })
			if !slices.Equal(s.prepared, []bool{others}) {
				return name + " was told wrongly whether others are prepared"
			}
			for other, o := range scripts {
				if slices.Contains(log, other+".prepare") && o.recorder != name {
					return other + " was told that " + o.recorder + " decides"
				}
			}
		}
	}
	switch {
	case decided > 1:
		return "two decisions"
	case (err == nil) != (status == transaction.Committed):
		return "status is " + status.String()
	case err == nil && writers > 0 && decided != 1:
		return "committed without a decision"
	case err != nil && decided > 0:
		return "failed after the decision"
	case (doomed || onePhase > 1) && (err == nil ||
		slices.ContainsFunc(log, func(s string) bool { return !strings.HasSuffix(s, ".abort") })):
		return "more than aborts in a transaction that could not be committed"
	}
	for i, line := range log {
		name, step, _ := strings.Cut(line, ".")
		switch {
		case step == "finish" && (decided != 1 || i < decision):
			return line + " before the decision"
		case step == "abort" && decided == 1:
			return line + " in a committed transaction"
		case step == "prepare" && decision >= 0 && i > decision:
			return line + " after the decision"
		case step == "abort" && done(name+".prepare") && errors.Is(err, transaction.ErrInDoubt):
			return line + " though it prepared for what is in doubt"
		}
	}
	// Everybody learns of the end, but those whose end isn't known.
	for name := range scripts {
		knows := done(name+".commit") || slices.Contains(log, name+".finish") ||
			slices.Contains(log, name+".abort")
		mayNot := errors.Is(err, transaction.ErrInDoubt) && done(name+".prepare")
		if !knows && !mayNot {
			return name + " was told no end"
		}
	}
	return ""
}
