package testserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
)

// watchdog is a shell script. $0 is the folder. The standard input ends with the test process, and
// file 3 with the last process of the server, because they hold the other ends. The server is in
// the shell's process group, and so is a process that was being started when the test process was
// killed. A server that does not end on request is killed, at last together with the shell.
const watchdog = `
trap '' HUP INT QUIT TERM
cat
kill -QUIT 0
kill -CONT 0
(sleep 20; rm -rf "$0"; kill -KILL 0) <&- 3<&- &
cat <&3
rm -rf "$0"
kill -KILL 0
`

// Home is a folder with a server, and the watchdog that removes both. Its methods must be called by
// one goroutine at a time.
type Home struct {
	Dir string // absolute; owned by the account of the server

	as       *account  // nil means that of this process
	watchdog *exec.Cmd // leads the process group of the server
	alive    *os.File  // the watchdog waits for its end first; held by this process only
	serving  *os.File  // the watchdog waits for its end next; held by this process and the server
	log      *os.File
}

// homes references all open homes.
var homes sync.Map

// account is an account of the system.
type account struct{ uid, gid int }

// NewHome creates a folder in parent, or among the temporary files if parent is ""; see [Memory].
// If this process runs as root, the folder and its processes belong to the first of the users that
// exists, or to the user "nobody".
func NewHome(parent string, users ...string) (_ *Home, err error) {
	h := &Home{}
	if os.Geteuid() == 0 {
		if h.as, err = firstAccount(append(users, "nobody")); err != nil {
			return nil, err
		}
	}
	if h.Dir, err = os.MkdirTemp(parent, "testserver"); err != nil {
		return nil, err
	}
	if err := h.watch(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(h.Dir))
	}
	// From here on the watchdog removes it. A reference keeps the garbage collector from closing
	// its files.
	homes.Store(h, nil)
	h.log, err = os.OpenFile(filepath.Join(h.Dir, "log"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err == nil && h.as != nil {
		err = os.Chown(h.Dir, h.as.uid, h.as.gid)
	}
	if err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

func firstAccount(users []string) (*account, error) {
	for _, name := range users {
		found, err := user.Lookup(name)
		if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
			continue
		}
		if err != nil {
			return nil, err
		}
		uid, err := strconv.Atoi(found.Uid)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.Atoi(found.Gid)
		return &account{uid, gid}, err
	}
	return nil, fmt.Errorf("servers do not run as root, and there is no user to run them as, of %q",
		users)
}

// watch starts the watchdog.
func (h *Home) watch() error {
	life, alive, err := os.Pipe()
	if err != nil {
		return err
	}
	service, serving, err := os.Pipe()
	if err != nil {
		closeAll(life, alive)
		return err
	}
	h.watchdog = exec.CommandContext(context.Background(), "/bin/sh", "-c", watchdog, h.Dir)
	h.watchdog.Dir = "/"
	h.watchdog.Stdin = life
	h.watchdog.ExtraFiles = []*os.File{service}
	h.watchdog.SysProcAttr = attributes(0, nil)
	h.alive, h.serving = alive, serving
	err = h.watchdog.Start()
	closeAll(life, service)
	if err != nil {
		closeAll(alive, serving)
	}
	return err
}

// closeAll closes pipes and logs; a failure loses nothing.
func closeAll(files ...*os.File) {
	for _, file := range files {
		_ = file.Close()
	}
}

// Close ends the processes in the folder and removes it, as the end of the test process does.
func (h *Home) Close() {
	homes.Delete(h)
	closeAll(h.alive, h.serving, h.log)
	_ = h.watchdog.Wait() // it always ends by its own kill
}

// Log returns the output of all servers of this folder.
func (h *Home) Log() string {
	text, err := os.ReadFile(h.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Run runs a program to its end, in the folder and under its account. The error has the output of
// the program.
func (h *Home) Run(program string, args ...string) error {
	if said, err := h.command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, said)
	}
	return nil
}

func (h *Home) command(program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), program, args...)
	cmd.Dir = h.Dir
	cmd.Env = append(os.Environ(), "LC_ALL=C") // messages in English, for the log
	cmd.ExtraFiles = []*os.File{h.serving}
	cmd.SysProcAttr = attributes(h.watchdog.Process.Pid, h.as)
	return cmd
}

// FreePort returns a TCP port that was free a moment ago, outside of the range that the system
// assigns to connections, so that a server can use it again after a restart.
func FreePort() (int, error) {
	var err error
	for range 100 {
		port := 10000 + rand.IntN(20000)
		var l net.Listener
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp4",
			net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}
