package progress

import "time"

// SetTimes replaces the times of a screen.
func (s *Screen) SetTimes(patient, line, log time.Duration) {
	s.patient, s.line, s.log = patient, line, log
}
