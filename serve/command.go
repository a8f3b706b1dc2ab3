package serve

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/pasteline/pasteline/internal/suggest"
)

// A command is a subcommand. A first argument that names none is a CONFIG, and is served.
type command struct {
	name     string
	args     string // as shown in the help
	summary  string
	about    string // the text of the help after the summary
	examples []example
	// setup defines the flags and returns the runner, which is called after they have been parsed.
	setup func(flags *flag.FlagSet) runner
}

type example struct{ line, what string }

// A runner runs a command with the arguments that are not flags.
type runner func(ctx context.Context, c *call, args []string) error

// commands returns all commands, in the order of the help. The first is serve CONFIG, which has no
// name.
func commands() []command {
	return []command{
		serveCommand(),
		showCommand(),
		checkCommand(),
		fmtCommand(),
		routesCommand(),
		requestCommand(),
		recoverCommand(),
		compactCommand(),
		newCommand(),
		migrateCommand(),
		listCommand(),
		helpCommand(),
		completionCommand(),
		versionCommand(),
	}
}

// withoutFlags is the setup of a command that has no flags.
func withoutFlags(run runner) func(*flag.FlagSet) runner {
	return func(*flag.FlagSet) runner { return run }
}

// flags returns the flags and the runner of a command.
func (cmd *command) flags() (*flag.FlagSet, runner) {
	flags := flag.NewFlagSet(cmd.name, flag.ContinueOnError)
	return flags, cmd.setup(flags)
}

func (c *call) dispatch(ctx context.Context, args []string) error {
	cmd := commands()[0]
	if len(args) == 0 {
		if err := c.overview(c.Err); err != nil {
			return err
		}
		return errNoArguments
	}
	named, ok := commandNamed(args[0])
	switch {
	case ok:
		cmd, args = named, args[1:]
	case slices.Contains([]string{"-h", "-help", "--help"}, args[0]):
		return c.overview(c.Out)
	case slices.Contains([]string{"-version", "--version"}, args[0]):
		return (&versionOptions{}).run(ctx, c, args[1:])
	case isMisspelt(args[0]):
		return usagef("%q is neither a file nor a command; %s", args[0], c.commandHint(args[0]))
	}
	flags, run := cmd.flags()
	rest, wantHelp, err := parse(flags, args)
	switch {
	case wantHelp:
		return c.helpOn(cmd)
	case err == nil:
		err = run(ctx, c, rest)
	}
	if usage, ok := errors.AsType[*usageError](err); ok {
		usage.command = cmd.name
	}
	return err
}

func commandNamed(name string) (command, bool) {
	all := commands()
	i := slices.IndexFunc(all, func(cmd command) bool { return cmd.name == name && name != "" })
	if i < 0 {
		return command{}, false
	}
	return all[i], true
}

// errNoArguments is returned if there are no arguments; the commands have been listed then.
var errNoArguments = errors.New("no arguments")

// elsewhereCommands maps commands of other programs to those of this one.
var elsewhereCommands = map[string]string{
	"validate": "check FILE", "lint": "check FILE", "test": "check FILE", "verify": "check FILE",
	"configtest": "check FILE",
	"start":      "FILE", "run": "FILE", "serve": "FILE", "up": "FILE",
	"init": "new FOLDER", "create": "new FOLDER", "startproject": "new FOLDER",
	"scaffold": "new FOLDER",
	"convert":  "migrate FILE FOLDER", "import": "migrate FILE FOLDER",
	"port": "migrate FILE FOLDER",
	"tree": "show FILE", "dump": "show FILE", "config": "show FILE", "print": "show FILE", "format": "fmt FILE",
	"inspect": "show FILE",
	"urls":    "routes FILE", "pviews": "routes FILE", "proutes": "routes FILE",
	"prequest": "request FILE PATH", "get": "request FILE PATH",
	"post": "request FILE PATH -m POST", "curl": "request FILE PATH", "ls": "list",
	"plugins": "list", "man": "help",
}

// commandHint returns the hint for an unknown command: the command that does the job here, or one with a
// similar name.
func (c *call) commandHint(word string) string {
	if here, ok := elsewhereCommands[strings.ToLower(word)]; ok {
		return fmt.Sprintf("%s %s does that", c.program, here)
	}
	switch strings.ToLower(word) {
	case "reload", "restart":
		return fmt.Sprintf(`a server reloads its file on SIGHUP: kill -HUP "$(pidof %[1]s)"; `+
			`%[1]s FILE --reload does so when the file changes`, c.program)
	case "stop", "shutdown", "quit":
		return fmt.Sprintf(`a server ends on SIGTERM: kill "$(pidof %s)"`, c.program)
	case "status":
		return fmt.Sprintf("ask the service manager that started the server; %s FILE --addr-file "+
			"NAME writes its addresses", c.program)
	}
	return hint(word, commandNames(), "have "+strings.Join(commandNames(), ", "))
}

// isMisspelt reports whether a word that is no command looks like a misspelt command rather than
// like a CONFIG.
func isMisspelt(word string) bool {
	if word == "" || strings.ContainsFunc(word, func(r rune) bool { return !unicode.IsLetter(r) }) {
		return false
	}
	_, err := os.Stat(word)
	return errors.Is(err, fs.ErrNotExist)
}

// parse parses flags before, between and after the other arguments, which it returns. Arguments
// after "--" are not flags. It reports wantHelp for -h and -help.
func parse(flags *flag.FlagSet, args []string) (rest []string, wantHelp bool, err error) {
	flags.SetOutput(io.Discard)
	for {
		err := flags.Parse(args)
		switch {
		case errors.Is(err, flag.ErrHelp):
			return nil, true, nil
		case err != nil:
			return nil, false, &usageError{err: flagError(err, flags)}
		case flags.NArg() == 0:
			return rest, false, nil
		}
		if i := len(args) - flags.NArg() - 1; i >= 0 && args[i] == "--" {
			return append(rest, flags.Args()...), false, nil
		}
		rest = append(rest, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// flagError writes flags as the help does, which package flag does not.
func flagError(err error, flags *flag.FlagSet) error {
	text := err.Error()
	if name, ok := strings.CutPrefix(text, "flag provided but not defined: -"); ok {
		var long []string
		flags.VisitAll(func(f *flag.Flag) {
			if len(f.Name) > 1 && len(name) > 1 {
				long = append(long, dashes(f.Name))
			}
		})
		if similar := hint(dashes(name), long, ""); similar != "" {
			return fmt.Errorf("unknown flag %s; %s", dashes(name), similar)
		}
		return fmt.Errorf("unknown flag %s", dashes(name))
	}
	if name, ok := strings.CutPrefix(text, "flag needs an argument: -"); ok {
		return fmt.Errorf("%s needs a value", dashes(name))
	}
	if m := invalidValue.FindStringSubmatch(text); m != nil {
		if m[1] != "" {
			return fmt.Errorf("%s takes no value, but %s was given", dashes(m[3]), m[2])
		}
		return fmt.Errorf("%s %s: %s", dashes(m[3]), m[2], m[4])
	}
	return err
}

// hint returns the candidate that was probably meant by an unknown word, or else the given text.
func hint(word string, candidates []string, otherwise string) string {
	if similar := suggest.DidYouMean(word, candidates); strings.HasPrefix(similar,
		"did you mean") {
		return similar
	}
	return otherwise
}

var invalidValue = regexp.MustCompile(`^invalid (boolean )?value (".*") for (?:flag ` +
	`)?-([^:]+): (.*)$`)

// noArguments returns an error if there are arguments.
func noArguments(args []string) error {
	if len(args) > 0 {
		return usagef("takes no arguments, but %q was given", args[0])
	}
	return nil
}
