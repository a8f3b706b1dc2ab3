// Package ptytest gives tests a terminal.
//
//	screen, terminal := ptytest.Open(t)
//	cmd.Stderr = terminal
//	…
//	shown := screen.Wait(t, "serving on")
package ptytest

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Screen has what programs have written to a terminal.
type Screen struct {
	Master *os.File // closing it closes the terminal

	mu    sync.Mutex
	shown strings.Builder
}

// Open opens a terminal: its screen, and the file for the programs in it. Both are closed at the end
// of the test. It skips the test where the system has no pseudo-terminals.
func Open(t *testing.T) (*Screen, *os.File) {
	t.Helper()
	master, terminal := open(t)
	s := &Screen{Master: master}
	read := make(chan struct{})
	go func() {
		defer close(read)
		text := make([]byte, 1<<12)
		for {
			n, err := master.Read(text)
			s.mu.Lock()
			s.shown.Write(text[:n])
			s.mu.Unlock()
			if err != nil { // all programs in it have closed it
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = terminal.Close() // both may be closed already
		_ = master.Close()
		<-read
	})
	return s, terminal
}

// String returns all that was written, with the line ends of a terminal.
func (s *Screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shown.String()
}

// Wait waits until a text has been written, and returns all that was written.
func (s *Screen) Wait(t *testing.T, text string) string {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; {
		if shown := s.String(); strings.Contains(shown, text) {
			return shown
		}
		if time.Now().After(deadline) {
			t.Fatalf("the terminal never showed %q:\n%q", text, s.String())
		}
		<-time.After(5 * time.Millisecond)
	}
}
