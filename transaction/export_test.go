package transaction

import (
	"slices"

	"github.com/pasteline/pasteline/transaction/resource"
)

// Managers returns the data managers of t in the order in which they joined.
func (t *Txn) Managers() []resource.DataManager {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.managers)
}

// Hooks returns how many hooks t keeps.
func (t *Txn) Hooks() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hooks == nil {
		return 0
	}
	return len(t.hooks.beforeCommit) + len(t.hooks.afterCommit) + len(t.hooks.beforeAbort) +
		len(t.hooks.afterAbort)
}
