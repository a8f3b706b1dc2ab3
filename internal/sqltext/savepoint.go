package sqltext

// RollsBackTo reports whether sql is a rollback to a savepoint, which is what a transaction takes after an error.
func RollsBackTo(sql string) bool {
	words, _ := statement(sql)
	return words[0] == "ROLLBACK" && !EndsTransaction(sql)
}
