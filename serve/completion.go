package serve

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
)

// completionOptions are the flags of serve completion.
type completionOptions struct{ program string }

func completionCommand() command {
	return command{
		name: "completion", args: "bash|zsh|fish",
		summary: "print a script that completes command lines",
		about: `
The script completes commands, flags, .ini files, and the arguments of help and list. Load it when
the shell starts.`,
		examples: []example{
			{"source <(serve completion bash)", "in ~/.bashrc"},
			{`serve completion zsh > "${fpath[1]}/_serve"`, "once, for zsh"},
			{"serve completion fish > ~/.config/fish/completions/serve.fish", "once, for fish"},
		},
		setup: func(flags *flag.FlagSet) runner {
			o := completionOptions{}
			flags.StringVar(&o.program, "program", "",
				"`NAME` of the program (default: the name of this one)")
			return o.run
		},
	}
}

var programPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

func (o *completionOptions) run(_ context.Context, c *call, args []string) error {
	shells := map[string]func(completion) string{
		"bash": completion.bash, "zsh": completion.zsh,
		"fish": completion.fish,
	}
	if len(args) != 1 || shells[args[0]] == nil {
		return usagef("want one of bash, zsh and fish")
	}
	program := cmp.Or(o.program, c.program)
	if !programPattern.MatchString(program) {
		return usagef("--program %q is not a valid name of a program", program)
	}
	_, err := io.WriteString(c.Out, shells[args[0]](completion{program, c.shortNames()}))
	return err
}

// A completion has the data of a completion script.
type completion struct {
	program string
	names   []string // of the registered factories
}

// shortNames returns a short name that help accepts for each registered factory, if there is one:
// the part after the #, or else the part before it.
func (c *call) shortNames() []string {
	var names []string
	for _, info := range standardRegistry(c.register).DescribeAll() {
		var parts []string
		for _, full := range append([]string{info.Name}, info.Aliases...) {
			dist, entryPoint, _ := strings.Cut(strings.TrimPrefix(full, "egg:"), "#")
			if entryPoint != "main" {
				parts = append(parts, entryPoint)
			}
			parts = append(parts, dist)
		}
		if i := slices.IndexFunc(parts, c.isShortName); i >= 0 {
			names = append(names, parts[i])
		}
	}
	slices.Sort(names)
	return names
}

// isShortName reports whether help accepts a word as the name of exactly one factory.
func (c *call) isShortName(word string) bool {
	_, isCommand := commandNamed(word)
	_, isKind := kindNamed(word)
	return !isCommand && !isKind && programPattern.MatchString(word) &&
		len(c.registered(factoryKinds, word)) == 1
}

// words returns the arguments of a command, other than flags and .ini files.
func (c completion) words(cmd command) []string {
	kinds := []string{"app", "composite", "filter", "server"}
	switch cmd.name {
	case "help":
		return slices.Concat(commandNames(), kinds, []string{loggingSection}, c.names)
	case "list":
		return kinds
	case "completion":
		return []string{"bash", "zsh", "fish"}
	}
	return nil
}

// takesFile reports whether a command starts with a CONFIG.
func takesFile(cmd command) bool { return strings.HasPrefix(cmd.args, "CONFIG") }

// flagNames returns the flags of a command with their dashes.
func flagNames(cmd command) []string {
	var names []string
	for _, f := range flagList(cmd) {
		for _, name := range f.names {
			names = append(names, dashes(name))
		}
	}
	return names
}

// bash separates words by newlines, so that file names may have spaces. The script also works with
// bash 3.2, which macOS has.
func (c completion) bash() string {
	var cases strings.Builder
	all := commands()
	// the command without a name is the default case, and so comes last
	for _, cmd := range append(all[1:], all[0]) {
		pattern := cmd.name
		if pattern == "" {
			pattern = "*"
		}
		files := ""
		if takesFile(cmd) {
			files = " files=1"
		}
		fmt.Fprintf(&cases, "    %s) flags=%s words=%s%s ;;\n", pattern,
			bashLines(flagNames(cmd)), bashLines(c.words(cmd)), files)
	}
	return strings.NewReplacer("PROGRAM", c.program, "COMMANDS", bashLines(commandNames()), "CASES",
		cases.String()).Replace(
		`# bash completion for PROGRAM
_PROGRAM_complete() {
  local IFS=$'\n' cur=${COMP_WORDS[COMP_CWORD]} flags= words= files=
  case ${COMP_WORDS[1]} in
CASES  esac
  if [[ $COMP_CWORD == 1 ]]; then
    words=COMMANDS files=1
  fi
  if [[ $cur == -* ]]; then
    words=$flags files=
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
  if [[ $files ]]; then
    COMPREPLY+=($(compgen -f -X '!*.ini' -- "$cur") $(compgen -d -- "$cur"))
  fi
}
complete -o filenames -o bashdefault -F _PROGRAM_complete PROGRAM
`)
}

// bashLines returns a quoted string with one word per line.
func bashLines(words []string) string { return "$'" + strings.Join(words, `\n`) + "'" }

func (c completion) zsh() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %[1]s\ncompdef _%[1]s %[1]s\n\n_%[1]s() {\n  local -a commands\n  "+
		"commands=(\n", c.program)
	all := commands()
	for _, cmd := range all[1:] {
		fmt.Fprintf(&b, "    %s\n", singleQuoted(cmd.name+":"+cmd.summary))
	}
	b.WriteString("  )\n  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then\n    _describe " +
		"command commands\n    _files -g '*.ini'\n    return\n  fi\n  case $words[2] in\n")
	for _, cmd := range append(all[1:], all[0]) {
		pattern := cmd.name
		if pattern == "" {
			pattern = "*"
		}
		fmt.Fprintf(&b, "    %s) _arguments", pattern)
		for _, f := range flagList(cmd) {
			for _, name := range f.names {
				spec := dashes(name) + "[" + strings.NewReplacer("[", "(", "]", ")", ":",
					" -").Replace(f.text) + "]"
				if f.value != "" {
					spec += ":" + strings.ReplaceAll(f.value, ":", `\:`) + ":"
					if f.value == "FILE" || f.value == "FOLDER" {
						spec += "_files"
					}
				}
				b.WriteString(" " + singleQuoted(spec))
			}
		}
		switch words := c.words(cmd); {
		case takesFile(cmd):
			b.WriteString(` '*:file:_files -g "*.ini"'`)
		case words != nil:
			b.WriteString(" " + singleQuoted("*:word:("+strings.Join(words, " ")+")"))
		case cmd.args != "":
			b.WriteString(" '*:file:_files'")
		}
		b.WriteString(" ;;\n")
	}
	// When zsh autoloads the script, the file itself is the function, and is called at once.
	fmt.Fprintf(&b, "  esac\n}\n\nif [[ $funcstack[1] == _%[1]s ]]; then\n  _%[1]s \"$@\"\nfi\n",
		c.program)
	return b.String()
}

func (c completion) fish() string {
	var b strings.Builder
	line := func(format string, args ...any) {
		fmt.Fprintf(&b,
			"complete -c "+c.program+" "+format+"\n", args...)
	}
	all := commands()
	names := strings.Join(commandNames(), " ")
	line("-f -n __fish_use_subcommand -a '(__fish_complete_suffix .ini)'")
	for _, cmd := range all[1:] {
		line("-f -n __fish_use_subcommand -a %s -d %s", cmd.name, singleQuoted(cmd.summary))
	}
	for _, cmd := range all {
		condition := singleQuoted("__fish_seen_subcommand_from " + cmd.name)
		if cmd.name == "" {
			condition = singleQuoted("not __fish_seen_subcommand_from " + names)
		}
		for _, f := range flagList(cmd) {
			options := []string{"-n", condition}
			for _, name := range f.names {
				if len(name) == 1 {
					options = append(options, "-s", name)
				} else {
					options = append(options, "-l", name)
				}
			}
			if f.value != "" {
				options = append(options, "-r")
			}
			line("%s -d %s", strings.Join(options, " "), singleQuoted(f.text))
		}
		switch words := c.words(cmd); {
		case takesFile(cmd) && cmd.name != "":
			line("-f -n %s -a '(__fish_complete_suffix .ini)'", condition)
		case words != nil:
			line("-f -n %s -a %s", condition, singleQuoted(strings.Join(words, " ")))
		case cmd.args == "":
			line("-f -n %s", condition)
		}
	}
	return b.String()
}

// singleQuoted quotes for all of the shells; in fish a backslash is special too.
func singleQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
