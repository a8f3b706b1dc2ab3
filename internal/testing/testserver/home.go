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

// watchdog is a shell script. $0 is the folder; the standard input ends with the test process, and file 3 with the last process
// of the server, because they hold the other ends. The server is in the shell's process group, and so is whatever was being
// started when the test process was killed. A server that does not end when asked is killed, at last with the shell itself.
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

// Home is a folder in which a server lives, with the watchdog that ends both. Its methods are for one goroutine at a time.
type Home struct {
	Dir string // absolute; belongs to the account of the server

	as       *account  // nil: that of this process
	watchdog *exec.Cmd // leads the process group of the server
	alive    *os.File  // what the watchdog waits for first: only this process holds it
	serving  *os.File  // what it waits for then: this process and the server hold it
	log      *os.File
}

// homes keeps all that are not closed.
var homes sync.Map

// account is an account of the system.
type account struct{ uid, gid int }

// NewHome makes a folder among the temporary files. When this process is root's, the folder and what runs in it belong to the
// first of the users that exists, or to nobody.
func NewHome(users ...string) (_ *Home, err error) {
	h := &Home{}
	if os.Geteuid() == 0 {
		if h.as, err = firstAccount(append(users, "nobody")); err != nil {
			return nil, err
		}
	}
	if h.Dir, err = os.MkdirTemp("", "testserver"); err != nil {
		return nil, err
	}
	if err := h.watch(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(h.Dir))
	}
	// From here on the watchdog removes it. It must not do so because nobody refers to the home any more, and its files are closed.
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
	return nil, fmt.Errorf("servers do not run as root, and there is no user to run them as, of %q", users)
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
	h.watchdog = exec.CommandContext(context.Background(), "/bin/sh", "-c", watchdog, h.Dir) //nolint:gosec // the folder is an argument of its own
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

// closeAll closes pipes and logs, of which nothing is lost if that fails.
func closeAll(files ...*os.File) {
	for _, file := range files {
		_ = file.Close()
	}
}

// Close ends what runs in the folder and removes it, as the end of the test process does.
func (h *Home) Close() {
	homes.Delete(h)
	closeAll(h.alive, h.serving, h.log)
	_ = h.watchdog.Wait() // it always ends by its own kill
}

// Log returns what all servers of this folder have said.
func (h *Home) Log() string {
	text, err := os.ReadFile(h.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// Run runs a program to its end, in the folder and by its account. The error has what the program said.
func (h *Home) Run(program string, args ...string) error {
	if said, err := h.command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, said)
	}
	return nil
}

func (h *Home) command(program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), program, args...) //nolint:gosec // tests choose what they run
	cmd.Dir = h.Dir
	cmd.Env = append(os.Environ(), "LC_ALL=C") // the log is read, for one thing
	cmd.ExtraFiles = []*os.File{h.serving}
	cmd.SysProcAttr = attributes(h.watchdog.Process.Pid, h.as)
	return cmd
}

// FreePort returns a TCP port that was free a moment ago, below those that the system gives to connections: there,
// some connection could have it when a server is to come back.
func FreePort() (int, error) {
	var err error
	for range 100 {
		port := 10000 + rand.IntN(20000) //nolint:gosec // not a secret
		var l net.Listener
		l, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}
