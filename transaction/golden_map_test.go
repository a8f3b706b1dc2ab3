package transaction_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The rules by which an outcome of the original is turned into the one expected here. They hold for
// every case and look at nothing but the recorded outcome; what they don't explain is in the table
// of differences below.
//
//   - Steps. The original's managers take each of tpc_begin, commit and tpc_vote together. Here,
//     all but the last by sort key go through the three by themselves, which is Prepare; the last
//     goes through them and tpc_finish, which is Commit; then the others tpc_finish, which is
//     Finish. So the same steps, of the same managers, manager by manager. When one failed, those
//     before it have prepared, and those after it have done nothing.
//   - Told once. The original aborts a manager that hasn't voted and then calls its tpc_abort, and
//     calls its abort again in the transaction's abort, and after hooks. Here Abort is the one way
//     to tell, and is called once.
//   - Status. An aborted transaction here says so, from the moment when its managers are told; the
//     original leaves the status as it was. A failed commit has failed for those told after
//     completion; in the original it is committing.
//   - Joining again has no effect; in the original the manager is called twice.
//   - Exceptions are errors of the same meaning; those that aren't to be caught (KeyboardInterrupt)
//     are panics.
type mapping struct {
	c        goldenCase
	hookKind map[string]string
	ended    map[string]bool // managers that were told the end of the current transaction
	dropped  map[string]bool // calls of this step that aren't made here
}

func expected(t *testing.T, c goldenCase) []string {
	t.Helper()
	m := &mapping{c: c, hookKind: map[string]string{}, ended: map[string]bool{}}
	for _, hook := range c.Hooks {
		for _, action := range hook.Actions {
			m.hookKind[action.Name] = action.Kind
		}
	}
	var want []string
	for _, step := range c.Trace {
		want = append(want, m.outcome(step.Step, step.Expect).String())
	}
	for _, d := range differences {
		for i, line := range d.steps[c.ID] {
			if want[i] == line {
				t.Errorf("step %d is in the table of differences, and is none: %s", i, line)
			}
			want[i] = line
		}
	}
	return want
}

func (m *mapping) outcome(s goldenStep, e goldenOutcome) outcome {
	m.dropped = map[string]bool{}
	switch s.Op {
	case "join":
		if e.Error == nil {
			delete(m.ended, s.Manager)
		}
	case "hook":
		m.hookKind[s.Name] = s.Kind
	}
	o := outcome{op: s.Op, status: "none", log: m.log(s, e.Log), oldIsCurrent: e.OldIsCurrent}
	o.result = m.result(e)
	if e.Status != nil {
		o.status = strings.ToLower(*e.Status)
	}
	for _, name := range e.Joined {
		if !slices.Contains(o.joined, name) {
			o.joined = append(o.joined, name)
		}
	}
	o.old = strings.ToLower(e.OldStatus)
	if o.old != "" && o.old != "committed" && !e.OldIsCurrent {
		o.old = "aborted"
	}
	if e.Status == nil || s.Op == "begin" {
		m.ended = map[string]bool{}
	}
	return o
}

func (m *mapping) result(e goldenOutcome) string {
	if e.Error == nil {
		return render(e.Result)
	}
	switch class, message := e.Error.Class, e.Error.Message; {
	case m.dropped[message], class == "KeyError": // no data is no error here
		return "null"
	case class == "Boom":
		return "error " + message
	case class == "Transient":
		return "error transient " + message
	case class == "KeyboardInterrupt":
		return "error panic " + message
	case class == "TransactionFailedError",
		message == "non-doomable" && e.Status != nil:
		return "error failed before"
	case message == "non-doomable", strings.HasPrefix(message, "expected txn status"):
		return "error ended"
	case class == "DoomedTransaction":
		return "error doomed"
	case class == "InvalidSavepointRollbackError":
		return "error invalid savepoint"
	case class == "NoTransaction":
		return "error no transaction"
	case strings.HasPrefix(message, "('Savepoints unsupported'"):
		return "error no savepoint"
	case strings.HasPrefix(message, "'<' not supported"): // there is no sort key
		return "error panic runtime error: invalid memory address or nil pointer dereference"
	default:
		return class + ": " + message
	}
}

var (
	managerLine = regexp.MustCompile(`^\w+\.\w+(\.rollback)?$`)
	hookLine    = regexp.MustCompile(`^hook (\w+) `)
	statusOf    = regexp.MustCompile(`status=(Active|Doomed|Committing|Committed|Commit failed)$`)
)

func (m *mapping) log(s goldenStep, lines []string) []string {
	var out []string
	for len(lines) > 0 {
		n := slices.IndexFunc(lines,
			func(line string) bool { return !managerLine.MatchString(line) })
		if n < 0 {
			n = len(lines)
		}
		if n > 0 {
			out = append(out, m.managers(slices.Compact(slices.Clone(lines[:n])))...)
			lines = lines[n:]
			continue
		}
		line := lines[0]
		lines = lines[1:]
		if strings.HasPrefix(line, "try ") || strings.HasPrefix(line, "attempt ") {
			m.ended = map[string]bool{}
		}
		line = statusOf.ReplaceAllStringFunc(line, strings.ToLower)
		hook := hookLine.FindStringSubmatch(line)
		aborting := s.Op != "commit"
		if strings.Contains(line, ".afterCompletion ") && !strings.HasSuffix(line, "=committed") ||
			hook != nil && m.hookKind[hook[1]] == "after_abort" {
			line = line[:strings.LastIndex(line, "=")+1]
			if aborting {
				line += "aborted"
			} else {
				line += "commit failed"
			}
		}
		out = append(out, line)
	}
	return out
}

// managers turns calls of managers that nothing else comes between.
func (m *mapping) managers(lines []string) []string {
	var out, protocol, order, aborted []string
	failed := false
	for _, line := range lines {
		name, call, _ := strings.Cut(line, ".")
		switch call {
		case "tpc_begin", "commit", "tpc_vote", "tpc_finish":
			protocol = append(protocol, line)
		case "tpc_abort":
			if !failed { // it has the order too, and of all managers
				failed, order = true, nil
			}
		case "abort":
			aborted = append(aborted, name)
			continue
		default:
			out = append(out, line)
			continue
		}
		if !slices.Contains(order, name) && (call == "tpc_begin" || call == "tpc_abort") {
			order = append(order, name)
		}
	}
	if len(order) == 0 {
		for _, name := range aborted {
			if m.ended[name] {
				m.dropped[name+".abort"] = true
				continue
			}
			m.ended[name] = true
			out = append(out, name+".abort")
		}
		return out
	}

	for _, name := range order {
		m.ended[name] = true
	}
	for _, name := range aborted {
		m.dropped[name+".abort"] = true
	}
	if len(protocol) > 0 {
		stop := ""
		if failed {
			stop = protocol[len(protocol)-1]
		}
		out = append(out, steps(order, stop)...)
	}
	if failed {
		for _, name := range order {
			out = append(out, name+".abort")
		}
	}
	return out
}

// steps returns what the managers do here, in that order, up to the step that fails, if one does.
func steps(order []string, stop string) (all []string) {
	last := order[len(order)-1]
	for _, name := range order {
		all = append(all, name+".tpc_begin", name+".commit", name+".tpc_vote")
	}
	all = append(all, last+".tpc_finish")
	for _, name := range order[:len(order)-1] {
		all = append(all, name+".tpc_finish")
	}
	if i := slices.Index(all, stop); i >= 0 {
		return all[:i+1]
	}
	return all
}
