package testserver

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// processes lists all processes, from /proc, because containers often have no ps.
func processes() ([]process, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// 4711 (any name) S 1 …
		after := string(text[bytes.LastIndexByte(text, ')')+1:])
		fields := strings.Fields(after)
		if len(fields) < 2 {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return nil, err
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, err
		}
		all = append(all, process{pid: pid, parent: parent, state: fields[0]})
	}
	return all, nil
}
