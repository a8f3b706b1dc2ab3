package transaction_test

// differences is the table of what is done otherwise on purpose: which steps (from 0) of which
// golden cases, and why. Everything else agrees with the original exactly.
var differences = []struct {
	why   string
	steps map[string]map[int]string
}{
	{
		why: "Once the last manager has committed, the transaction is committed and can't " +
			"be undone, so Commit must not report a failure. A manager that can't finish is " +
			"logged and left to recovery. (In the original the commit fails, although some " +
			"managers have finished.)",
		steps: map[string]map[int]string{
			"fail-tpc_finish-b": {
				5:  `commit: null | b.tpc_begin, b.commit, b.tpc_vote, c.tpc_begin, c.commit, c.tpc_vote, a.tpc_begin, a.commit, a.tpc_vote, a.tpc_finish, b.tpc_finish, c.tpc_finish | none [] | old committed`,
				6:  `commit: null |  | none [] | old committed`,
				7:  `join: null |  | active [a] | old committed`,
				8:  `savepoint: error no savepoint | a.abort | commit failed [a] | old committed`,
				9:  `is_doomed: false |  | commit failed [a] | old committed`,
				10: `doom: error failed before |  | commit failed [a] | old committed`,
				11: `abort: null |  | none [] | old committed`,
				12: `commit: null |  | none [] | old committed`,
			},
			"fail-tpc_finish-c": {
				5:  `commit: null | b.tpc_begin, b.commit, b.tpc_vote, c.tpc_begin, c.commit, c.tpc_vote, a.tpc_begin, a.commit, a.tpc_vote, a.tpc_finish, b.tpc_finish, c.tpc_finish | none [] | old committed`,
				6:  `commit: null |  | none [] | old committed`,
				7:  `join: null |  | active [a] | old committed`,
				8:  `savepoint: error no savepoint | a.abort | commit failed [a] | old committed`,
				9:  `is_doomed: false |  | commit failed [a] | old committed`,
				10: `doom: error failed before |  | commit failed [a] | old committed`,
				11: `abort: null |  | none [] | old committed`,
				12: `commit: null |  | none [] | old committed`,
			},
		},
	},
	{
		why: "Errors of several managers are joined. The original raises one of them, and logs the others.",
		steps: map[string]map[int]string{
			"fail-vote-and-abort": {
				4: `commit: error b.tpc_vote, b.tpc_abort, a.abort | b.tpc_begin, b.commit, b.tpc_vote, b.abort, c.abort, a.abort | commit failed [a b c] | old commit failed, current`,
			},
			"fail-tpc-abort-base": {
				4: `commit: error b.tpc_vote, panic a.tpc_abort | b.tpc_begin, b.commit, b.tpc_vote, b.abort, c.abort, a.abort | commit failed [a b c] | old commit failed, current`,
			},
			"abort-fail-2": {
				3: `abort: error transient b.abort, a.abort | b.abort, a.abort, c.abort | none []`,
			},
		},
	},
	{
		why: "A missing sort key is a panic of the manager: the commit fails as with any " +
			"other panic, and every manager is aborted. The original fails before the commit " +
			"begins, and the managers are aborted only with the transaction.",
		steps: map[string]map[int]string{
			"no-sortkey-mixed": {
				3: `commit: error panic runtime error: invalid memory address or nil pointer dereference | a.abort, b.abort | commit failed [a b] | old commit failed, current`,
				4: `abort: null |  | none [] | old aborted`,
			},
			"no-sortkey-all": {
				2: `commit: error panic runtime error: invalid memory address or nil pointer dereference | b.abort, a.abort | commit failed [b a]`,
			},
		},
	},
	{
		why: "A transaction that has ended stays ended, and its methods return an error: " +
			"the original can commit and abort it again, and managers can join one that was " +
			"aborted.",
		steps: map[string]map[int]string{
			"old-after-commit": {
				3: `commit: error ended |  | none [] | old committed`,
				4: `abort: error ended |  | none [] | old committed`,
			},
			"old-after-abort": {
				3: `commit: error ended |  | none [] | old aborted`,
				4: `abort: error ended |  | none [] | old aborted`,
				5: `doom: error ended |  | none [] | old aborted`,
			},
			"old-and-new": {
				3: `join: error ended |  | active [] | old aborted`,
				4: `commit: error ended |  | active [] | old aborted`,
			},
		},
	},
	{
		why: "Begin does not touch a transaction that the context already carries; the new " +
			"one is independent. The original aborts the old one (as this test's adapter " +
			"does), or refuses in explicit mode.",
		steps: map[string]map[int]string{
			"explicit-no-begin": {
				4: `begin: null |  | active []`,
			},
		},
	},
	{
		why: "When a hook before the commit fails, it and the hooks after it are kept for " +
			"another Commit. The original forgets them, so that a second commit runs without " +
			"them.",
		steps: map[string]map[int]string{
			"hooks-before_commit-raise-error-commit": {
				6: `commit: error hook h2 | hook h2 args=["x1", 5] current_txn_status=active | active [a] | old active, current`,
				7: `abort: null | a.abort | none [] | old aborted`,
			},
			"hooks-before_commit-raise-base-commit": {
				6: `commit: error panic hook h2 | hook h2 args=["x1", 5] current_txn_status=active | active [a] | old active, current`,
				7: `abort: null | a.abort | none [] | old aborted`,
			},
		},
	},
	{
		why: "A transaction that a hook dooms is not committed. The original checks only " +
			"before the hooks.",
		steps: map[string]map[int]string{
			"hooks-before_commit-doom": {
				3: `commit: error doomed | hook h1 args=["x0", 5] current_txn_status=active | doomed [a] | old doomed, current`,
				4: `abort: null | a.abort | none [] | old aborted`,
			},
		},
	},
	{
		why: "Commit and Abort inside a hook are refused: the end has begun. In the original an abort inside a commit " +
			"empties the transaction, which is then committed; further hooks are lost.",
		steps: map[string]map[int]string{
			"hooks-before_commit-abort-inside": {
				4: `commit: error ended | hook h1 args=["x0", 5] current_txn_status=active | active [a] | old active, current`,
				5: `abort: null | a.abort | none [] | old aborted`,
			},
			"hooks-after_commit-abort-inside": {
				4: `commit: null | a.tpc_begin, a.commit, a.tpc_vote, a.tpc_finish, hook h1 args=[true, "x0", 5] current_txn_status=committed, hook h2 args=[true, "x1", 5] current_txn_status=committed | none [] | old committed`,
			},
		},
	},
	{
		why: "All hooks after the abort run, even if one of them fails; the failure is " +
			"logged.",
		steps: map[string]map[int]string{
			"hooks-after_abort-raise-error-abort": {
				5: `abort: null | a.abort, hook h1 args=["x0", 5] current_txn_status=aborted, hook h2 args=["x1", 5] current_txn_status=aborted, hook h3 args=["x2", 5] current_txn_status=aborted | none [] | old aborted`,
			},
			"hooks-after_abort-raise-base-abort": {
				5: `abort: null | a.abort, hook h1 args=["x0", 5] current_txn_status=aborted, hook h2 args=["x1", 5] current_txn_status=aborted, hook h3 args=["x2", 5] current_txn_status=aborted | none [] | old aborted`,
			},
		},
	},
	{
		why: "No manager can join once the managers have been notified of the abort.",
		steps: map[string]map[int]string{
			"hooks-after_abort-join": {
				3: `abort: null | a.abort, hook h1 args=["x0", 5] current_txn_status=aborted | none [] | old aborted`,
			},
		},
	},
	{
		why: "A rollback that failed is not tried again: the transaction can only be aborted.",
		steps: map[string]map[int]string{
			"sp-rollback-fails": {
				5: `rollback: error failed before |  | commit failed [a b] | old commit failed, current`,
			},
		},
	},
	{
		why: "One Manager has many transactions at a time: a synchronizer is notified of " +
			"those that begin while it is registered, until their end, and of no others. The " +
			"original has one current transaction, and notifies of that.",
		steps: map[string]map[int]string{
			"synch-abort": {
				1: `register_synch: null |  | active []`,
				2: `register_synch: null |  | active []`,
				4: `abort: null | a.abort | none []`,
			},
			"synch-unregister": {
				4: `commit: null | y1.beforeCompletion status=active, y2.beforeCompletion status=active, y1.afterCompletion status=committed, y2.afterCompletion status=committed | none []`,
			},
		},
	},
	{
		why: "If a synchronizer fails before an abort, the others are notified nonetheless.",
		steps: map[string]map[int]string{
			"synch-before-raises": {
				6: `abort: error y1.beforeCompletion | y1.beforeCompletion status=active, y2.beforeCompletion status=active, a.abort, y1.afterCompletion status=aborted, y2.afterCompletion status=aborted | none [] | old aborted`,
			},
		},
	},
	{
		why: "If a synchronizer fails after completion, its panic is logged, the others are " +
			"notified, and the transaction has ended. In the original it stays current, and " +
			"can be committed a second time.",
		steps: map[string]map[int]string{
			"synch-after-raises": {
				5: `commit: null | y1.beforeCompletion status=active, y2.beforeCompletion status=active, a.tpc_begin, a.commit, a.tpc_vote, a.tpc_finish, y1.afterCompletion status=committed, y2.afterCompletion status=committed | none [] | old committed`,
				6: `commit: error ended |  | none [] | old committed`,
				7: `abort: null | y1.beforeCompletion status=active, y2.beforeCompletion status=active, y1.afterCompletion status=aborted, y2.afterCompletion status=aborted | none [] | old committed`,
			},
		},
	},
	{
		why: "A transaction that a synchronizer refused has ended. In the original it is " +
			"current, although begin raised.",
		steps: map[string]map[int]string{
			"synch-new-raises": {
				2: `begin: error y1.newTransaction | y1.newTransaction status=active | none []`,
				3: `commit: error cannot begin, y1.newTransaction | y1.newTransaction status=active | none []`,
			},
		},
	},
	{
		why: "Zero tries mean the default, as any zero field of a Policy does. Run refuses " +
			"negative tries.",
		steps: map[string]map[int]string{
			"run-8": {
				0: `run: "result 1" | try 1, a.tpc_begin, a.commit, a.tpc_vote, a.tpc_finish | none []`,
			},
			"attempts-8": {
				0: `attempts: 1 | attempt 1, a.tpc_begin, a.commit, a.tpc_vote, a.tpc_finish | none []`,
			},
		},
	},
	{
		why: "The original has two retry loops, and one of them leaves the failed " +
			"transaction of the last attempt to the caller. Here Run is the only one.",
		steps: map[string]map[int]string{
			"attempts-commit-fails": {
				0: `attempts: error transient a.tpc_vote | attempt 1, a.tpc_begin, a.commit, a.tpc_vote, a.abort, attempt 2, a.tpc_begin, a.commit, a.tpc_vote, a.abort, attempt 3, a.tpc_begin, a.commit, a.tpc_vote, a.abort | none []`,
			},
		},
	},
}
