//go:build race

package retry_test

// raceEnabled: the race detector makes pools forget things at random.
const raceEnabled = true
