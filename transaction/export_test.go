package transaction

import "slices"

// Managers returns the data managers of t in the order in which they joined.
func (t *Txn) Managers() []DataManager {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.managers)
}

// Hooks returns how many hooks t keeps.
func (t *Txn) Hooks() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.beforeCommit) + len(t.afterCommit) + len(t.beforeAbort) + len(t.afterAbort)
}
