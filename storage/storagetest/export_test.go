package storagetest

// Serializable reports whether a serial order explains the reads and writes of transactions.
func Serializable(transactions ...[2]map[string]string) bool {
	var done []record
	for _, t := range transactions {
		done = append(done, record{t[0], t[1]})
	}
	return findCycle(done) == nil
}
