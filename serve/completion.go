package serve

import (
	"context"
	"flag"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// completionOptions are the flags of serve completion.
type completionOptions struct{ program string }

func completionCommand() command {
	return command{
		name: "completion", args: "bash|zsh|fish", summary: "print a script that completes command lines",
		about: `
The script completes commands, flags, .ini files, and what help and list take. A shell runs it when it starts.`,
		examples: []example{
			{"source <(serve completion bash)", "in ~/.bashrc"},
			{`serve completion zsh > "${fpath[1]}/_serve"`, "once, for zsh"},
			{"serve completion fish > ~/.config/fish/completions/serve.fish", "once, for fish"},
			{"guestbook completion bash --program guestbook", "for a program of one's own"},
		},
		setup: func(flags *flag.FlagSet) runner {
			o := completionOptions{}
			flags.StringVar(&o.program, "program", programName, "the `NAME` of the program; "+programName+" if not given")
			return o.run
		},
	}
}

var programPattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

func (o *completionOptions) run(_ context.Context, c *call, args []string) error {
	shells := map[string]func(program string) string{"bash": bashCompletion, "zsh": zshCompletion, "fish": fishCompletion}
	if len(args) != 1 || shells[args[0]] == nil {
		return usagef("want one of bash, zsh and fish")
	}
	if !programPattern.MatchString(o.program) {
		return usagef("--program %q can't be the name of a program", o.program)
	}
	_, err := io.WriteString(c.Out, shells[args[0]](o.program))
	return err
}

// words are what a command takes, other than flags and .ini files.
func words(cmd command) []string {
	switch cmd.name {
	case "help":
		return append(commandNames(), "app", "composite", "filter", "server")
	case "list":
		return []string{"app", "composite", "filter", "server"}
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

func bashCompletion(program string) string {
	var cases strings.Builder
	all := commands()
	for _, cmd := range append(all[1:], all[0]) { // the one without a name is for everything else, and so comes last
		pattern := cmd.name
		if pattern == "" {
			pattern = "*"
		}
		fmt.Fprintf(&cases, "    %s) flags=%q words=%q ;;\n", pattern, strings.Join(flagNames(cmd), " "), strings.Join(words(cmd), " "))
	}
	return strings.NewReplacer("PROGRAM", program, "COMMANDS", strings.Join(commandNames(), " "), "CASES", cases.String()).Replace(
		`# bash completion for PROGRAM
_PROGRAM_complete() {
  local cur=${COMP_WORDS[COMP_CWORD]} flags words
  case ${COMP_WORDS[1]} in
CASES  esac
  if [[ $COMP_CWORD == 1 ]]; then
    words="COMMANDS"
  fi
  if [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$flags" -- "$cur"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$cur") $(compgen -f -X '!*.ini' -- "$cur") $(compgen -d -S / -- "$cur"))
  fi
}
complete -o nospace -F _PROGRAM_complete PROGRAM
`)
}

func zshCompletion(program string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %[1]s\n_%[1]s() {\n  local -a commands\n  commands=(\n", program)
	all := commands()
	for _, cmd := range all[1:] {
		fmt.Fprintf(&b, "    %s\n", singleQuoted(cmd.name+":"+cmd.summary))
	}
	b.WriteString("  )\n  if (( CURRENT == 2 )); then\n    _describe command commands\n    _files -g '*.ini'\n    return\n  fi\n  case $words[2] in\n")
	for _, cmd := range append(all[1:], all[0]) {
		pattern := cmd.name
		if pattern == "" {
			pattern = "*"
		}
		fmt.Fprintf(&b, "    %s) _arguments", pattern)
		for _, f := range flagList(cmd) {
			for _, name := range f.names {
				spec := dashes(name) + "[" + strings.NewReplacer("[", "(", "]", ")", ":", " -").Replace(f.text) + "]"
				if f.value != "" {
					spec += ":" + f.value + ":"
					if f.value == "FILE" || f.value == "FOLDER" {
						spec += "_files"
					}
				}
				b.WriteString(" " + singleQuoted(spec))
			}
		}
		switch {
		case takesFile(cmd):
			b.WriteString(` '*:file:_files -g "*.ini"'`)
		case words(cmd) != nil:
			b.WriteString(" " + singleQuoted("*:word:("+strings.Join(words(cmd), " ")+")"))
		default:
			b.WriteString(" '*:file:_files'")
		}
		b.WriteString(" ;;\n")
	}
	fmt.Fprintf(&b, "  esac\n}\n_%s \"$@\"\n", program)
	return b.String()
}

func fishCompletion(program string) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "complete -c "+program+" "+format+"\n", args...) }
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
		switch {
		case takesFile(cmd) && cmd.name != "":
			line("-f -n %s -a '(__fish_complete_suffix .ini)'", condition)
		case words(cmd) != nil:
			line("-f -n %s -a %s", condition, singleQuoted(strings.Join(words(cmd), " ")))
		}
	}
	return b.String()
}

// singleQuoted quotes for every one of the shells; fish alone also minds a backslash.
func singleQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
