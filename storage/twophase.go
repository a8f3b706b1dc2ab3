package storage

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pasteline/pasteline/storage/engine"
)

// CheckTwoPhase returns an error if more than one of the engines can't prepare, so that a
// transaction that writes to two of those must fail, and one of them says that its configuration is
// why ([engine.PrepareChecker]). The keys are the names that errors use. The engines may be closed
// already; nil stands for one that can't prepare. [Opener.CheckTwoPhase] does the same for open
// databases.
func CheckTwoPhase(engines map[string]engine.Engine) error {
	var names []string
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(engines)) {
		if p, ok := engines[name].(engine.Preparer); ok && p.CanPrepare() {
			continue
		}
		names = append(names, name)
		if e, ok := engines[name].(engine.PrepareChecker); ok {
			if err := e.WhyNotPrepare(); err != nil {
				errs = append(errs, fmt.Errorf("storage: %s: %w", name, err))
			}
		}
	}
	if len(names) < 2 || len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("a transaction that writes to more than one of %s can't be committed: %w",
		strings.Join(names, " and "), errors.Join(errs...))
}
