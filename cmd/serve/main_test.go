package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/serve"
)

var all = flag.Bool("all", false, "run crowds, kills and reloads at their full size")

// sized returns the size of a test for every day, or with -all the full size.
func sized(everyday, full int) int {
	if *all {
		return full
	}
	return everyday
}

// The test binary is the command, so that tests run the very main, as a process of its own.
// serve-test is the same with filters that make things go wrong.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"serve":      main,
		"serve-test": func() { serve.Main(myapp.Register, registerTrouble, registerMark) },
	})
}

func TestScript(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup: func(env *testscript.Env) error {
			for _, name := range []string{"development.ini", "production.ini"} {
				text, err := os.ReadFile("../../" + name)
				if err != nil {
					return err
				}
				if err := os.WriteFile(env.WorkDir+"/"+name, text, 0o644); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"get":  get,
			"busy": busy,
		},
	})
}

// get waits for an address file, and prints what the server there answers: get FILE PATH. Negated,
// it wants another status than 200.
func get(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: get addr-file path")
	}
	addr, err := waitForFile(ts.MkAbs(args[0]))
	ts.Check(err)
	response, err := http.Get("http://" + addr + args[1])
	ts.Check(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%s\n%s\n", response.Status, text)
	if (response.StatusCode != http.StatusOK) != neg {
		ts.Fatalf("%s: %s", args[1], response.Status)
	}
}

// busy takes a free port until the script ends, and puts its number into a variable.
func busy(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: busy VARIABLE")
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], port)
}

// waitForFile returns the first line of an address file, as soon as it is there.
func waitForFile(name string) (string, error) {
	deadline := time.Now().Add(startLimit)
	for {
		text, err := os.ReadFile(name)
		if err == nil {
			line, _, _ := strings.Cut(string(text), "\n")
			return line, nil
		}
		if !errors.Is(err, os.ErrNotExist) || time.Now().After(deadline) {
			return "", fmt.Errorf("no address file: %w", err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// startLimit is how long a server may take to start on a machine that has much else to do.
const startLimit = 30 * time.Second
