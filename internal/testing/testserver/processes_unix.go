//go:build unix && !linux

package testserver

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// processes lists all processes.
func processes() ([]process, error) {
	text, err := exec.CommandContext(context.Background(), "ps", "-A", "-o",
		"pid=,ppid=,state=").Output()
	if err != nil {
		return nil, err
	}
	var all []process
	for line := range strings.Lines(string(text)) {
		var p process
		if _, err := fmt.Sscan(line, &p.pid, &p.parent, &p.state); err != nil {
			return nil, fmt.Errorf("ps says %q: %w", line, err)
		}
		all = append(all, p)
	}
	return all, nil
}
