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
	"unicode/utf8"

	"github.com/pasteline/pasteline/internal/command/logging"
	"github.com/pasteline/pasteline/pipeline/tree"
)

func helpCommand() command {
	return command{
		name: "help", args: "[COMMAND | [KIND] NAME]",
		summary: "explain a command, or the settings of an app, filter, composite or server",
		about: `
Without arguments it lists the commands. NAME is a registered name as .ini files write it, such as
egg:repoze.browserid#browserid, or a part of it that is unique, such as browserid. KIND is app,
composite, filter or server, for a name of several kinds.

For each setting it prints the key with its default, the form of the value, and its purpose. For
the section [logging] there is help logging.`,
		examples: []example{
			{"serve help show", "the command show"},
			{"serve help filter browserid", "the settings of a [filter:] section that uses it"},
			{"serve help server egg:Paste#http", "the settings of a server, by its full name"},
			{"serve help logging", "the settings of the section [logging]"},
		},
		setup: withoutFlags(help),
	}
}

func help(_ context.Context, c *call, args []string) error {
	switch len(args) {
	case 0:
		return c.overview(c.Out)
	case 1:
		if cmd, ok := commandNamed(args[0]); ok {
			return c.helpOn(cmd)
		}
		if args[0] == standardName || args[0] == c.program {
			return c.helpOn(commands()[0])
		}
		if args[0] == loggingSection {
			return c.helpOnLogging()
		}
		if _, ok := kindNamed(args[0]); ok {
			return usagef("want a name after %q: one that %s list %s prints", args[0],
				c.program, args[0])
		}
		found := c.registered(factoryKinds, args[0])
		switch len(found) {
		case 0:
			have := fmt.Sprintf("want one of the commands %s, or a name that %s list prints",
				strings.Join(commandNames(), ", "), c.program)
			return usagef("unknown command or name %q; %s",
				args[0], hint(args[0], slices.Concat(commandNames(), c.shortNames()), have))
		case 1:
			return c.helpOnFactory(found[0])
		}
		return c.ambiguous(args[0], found)
	case 2:
		kind, ok := kindNamed(args[0])
		if !ok {
			return usagef("unknown kind %q; want app, composite, filter or server", args[0])
		}
		found := c.registered([]tree.Kind{kind}, args[1])
		switch len(found) {
		case 0:
			return c.notRegistered(kind, args[1])
		case 1:
			return c.helpOnFactory(found[0])
		}
		return c.ambiguous(args[1], found)
	}
	return usagef("want a command, or a kind and a name, not %d words", len(args))
}

func commandNames() []string {
	var names []string
	for _, cmd := range commands()[1:] {
		names = append(names, cmd.name)
	}
	return names
}

// kindNamed returns the kind of a word, in singular or plural.
func kindNamed(word string) (tree.Kind, bool) {
	kind := tree.Kind(strings.TrimSuffix(word, "s"))
	return kind, slices.Contains(factoryKinds, kind)
}

var factoryKinds = []tree.Kind{
	tree.KindApp, tree.KindComposite, tree.KindFilter,
	tree.KindServer,
}

// overview lists the commands.
func (c *call) overview(w io.Writer) error {
	var b strings.Builder
	b.WriteString(c.program + " runs the apps and filters that an .ini file composes.\n\nUsage:\n")
	for _, cmd := range commands() {
		fmt.Fprintf(&b, "  %s\n      %s\n", cmd.usage(c.program), wrap(cmd.summary, 6))
	}
	b.WriteString("\n" + paragraphs(fmt.Sprintf(`
%[1]s help COMMAND, or %[1]s COMMAND -h, explains a command with its flags; %[1]s help %[1]s
explains %[1]s CONFIG. CONFIG is the path of an .ini file; write ./%[2]s for a file with the name
of a command.

Exit codes: 0 success, 1 failure or errors found, 2 wrong usage.
`, c.program, commandNames()[0])))
	_, err := io.WriteString(w, b.String())
	return err
}

func (cmd *command) usage(program string) string {
	return strings.Join(strings.Fields(program+" "+cmd.name+" "+cmd.args), " ")
}

// helpWidth is the line width of the help, in columns: that of a default terminal.
const helpWidth = 80

// wrap breaks a text into lines that are indented by column, except the first.
func wrap(text string, column int) string {
	var b strings.Builder
	at := column
	for i, word := range strings.Fields(text) {
		size := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+size > helpWidth:
			b.WriteString("\n" + strings.Repeat(" ", column))
			at = column
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += size
	}
	return b.String()
}

// paragraphs wraps each paragraph of a text.
func paragraphs(text string) string {
	wrapped := strings.Split(strings.TrimSpace(text), "\n\n")
	for i, paragraph := range wrapped {
		wrapped[i] = wrap(paragraph, 0)
	}
	return strings.Join(wrapped, "\n\n") + "\n"
}

// nameInExample matches the name of the program in an example; the rest of the line may mention a
// server.
var nameInExample = regexp.MustCompile(standardName + `\b`)

// helpOn explains a command.
func (c *call) helpOn(cmd command) error {
	var b strings.Builder
	b.WriteString(wrap(c.program+" "+cmp.Or(cmd.name, "CONFIG")+": "+cmd.summary, 0) +
		"\n\nUsage:\n  " + cmd.usage(c.program) + "\n")
	if cmd.about != "" {
		b.WriteString("\n" + paragraphs(cmd.about))
	}
	list := flagList(cmd)
	if len(list) > 0 {
		b.WriteString("\nFlags, anywhere on the line:\n")
		width := 0
		for _, f := range list {
			width = max(width, len(f.usage))
		}
		for _, f := range list {
			fmt.Fprintf(&b, "  %-*s  %s\n", width, f.usage, wrap(f.text, width+4))
		}
	}
	if len(cmd.examples) > 0 {
		b.WriteString("\nExamples:\n")
		for _, e := range cmd.examples {
			fmt.Fprintf(&b, "  %s\n      %s\n", nameInExample.ReplaceAllLiteralString(e.line,
				c.program), wrap(e.what, 6))
		}
	}
	_, err := io.WriteString(c.Out, b.String())
	return err
}

// A flagHelp is a flag with all of its names.
type flagHelp struct {
	names []string // the short one first
	value string   // the name of its value; "" for a switch
	text  string
	usage string // names with dashes and value
}

// flagList returns the flags of a command. Those with the same text are names of one flag.
func flagList(cmd command) []flagHelp {
	flags, _ := cmd.flags()
	var list []flagHelp
	flags.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		for i := range list {
			if list[i].text == text {
				list[i].names = append(list[i].names, f.Name)
				return
			}
		}
		list = append(list, flagHelp{names: []string{f.Name}, value: value, text: text})
	})
	for i := range list {
		slices.SortFunc(list[i].names,
			func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
		var dashed []string
		for _, name := range list[i].names {
			dashed = append(dashed, dashes(name))
		}
		list[i].usage = strings.TrimSpace(strings.Join(dashed, ", ") + " " + list[i].value)
	}
	slices.SortFunc(list, func(a, b flagHelp) int {
		return cmp.Compare(strings.ToLower(a.names[0]),
			strings.ToLower(b.names[0]))
	})
	return list
}

func dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

// registered returns the factories with a name, or with a part of a name.
func (c *call) registered(kinds []tree.Kind, name string) []tree.FactoryInfo {
	registry := standardRegistry(c.register)
	var whole, part []tree.FactoryInfo
	for _, kind := range kinds {
		if info, ok := registry.Describe(kind, name); ok {
			whole = append(whole, info)
		}
	}
	for _, info := range registry.DescribeAll() {
		if slices.Contains(kinds, info.Kind) &&
			slices.ContainsFunc(append([]string{info.Name}, info.Aliases...),
				func(full string) bool { return isPart(name, full) }) {
			part = append(part, info)
		}
	}
	if len(whole) > 0 {
		return whole
	}
	return part
}

func (c *call) notRegistered(kind tree.Kind, name string) error {
	var have []string
	for _, info := range standardRegistry(c.register).DescribeAll() {
		if info.Kind == kind {
			have = append(have, info.Name)
		}
	}
	if len(have) == 0 {
		return fmt.Errorf("no %s is registered", kind)
	}
	ofOtherKind := func(short string) bool {
		return len(c.registered([]tree.Kind{kind}, short)) == 0
	}
	candidates := slices.Concat(have, slices.DeleteFunc(c.shortNames(), ofOtherKind))
	return fmt.Errorf("no %s %q is registered; %s", kind, name,
		hint(name, candidates, "have "+strings.Join(have, ", ")))
}

// ambiguous returns the error for a name that fits several factories.
func (c *call) ambiguous(name string, found []tree.FactoryInfo) error {
	var choices []string
	for _, info := range found {
		choices = append(choices, fmt.Sprintf("%s help %s %s", c.program, info.Kind, info.Name))
	}
	return fmt.Errorf("%q is ambiguous: %s", name, strings.Join(choices, ", "))
}

// isPart reports whether name is the distribution, the entry point or the function of a full name.
func isPart(name, full string) bool {
	isSeparator := func(r rune) bool { return r == '#' || r == ':' }
	return slices.ContainsFunc(strings.FieldsFunc(full, isSeparator), func(part string) bool {
		return strings.EqualFold(part, name) && part != "egg" && part != "call"
	})
}

// helpOnFactory prints the help for an app, composite, filter or server.
func (c *call) helpOnFactory(info tree.FactoryInfo) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", info.Kind, info.Name)
	for _, alias := range info.Aliases {
		fmt.Fprintf(&b, "    or %s\n", alias)
	}
	fmt.Fprintf(&b, "\nUsage:\n  [%s:NAME]\n  use = %s\n", info.Kind, info.Name)
	switch {
	case len(info.Settings) > 0:
		b.WriteString("\nSettings:\n")
	case !info.Others:
		b.WriteString("\nNo settings.\n")
	}
	for _, s := range info.Settings {
		b.WriteString(settingHelp(s))
	}
	if info.Others {
		b.WriteString("\nSettings with other names are allowed too.\n")
	}
	_, err := io.WriteString(c.Out, b.String())
	return err
}

// loggingSection is the only section with settings that has no factory.
const loggingSection = "logging"

// helpOnLogging prints the help for that section.
func (c *call) helpOnLogging() error {
	var b strings.Builder
	b.WriteString("how and where to log\n\nUsage:\n  [" + loggingSection + "]\n\nSettings:\n")
	for _, s := range logging.Settings() {
		b.WriteString(settingHelp(s))
	}
	_, err := io.WriteString(c.Out, b.String())
	return err
}

// settingHelp returns two or three lines: the key with its default, the form of a value, and its
// purpose.
func settingHelp(s tree.SettingInfo) string {
	var b strings.Builder
	b.WriteString("  " + s.Key)
	switch {
	case s.HasDefault:
		fmt.Fprintf(&b, " = %s", strings.ReplaceAll(s.Default, "\n", " "))
	case s.Required:
		b.WriteString(" (required)")
	}
	b.WriteString("\n")
	var rules []string
	if len(s.OneOf) > 0 {
		rules = append(rules, "one of "+strings.Join(s.OneOf, ", "))
	} else if s.Type != "" {
		rules = append(rules, s.Type)
	}
	switch {
	case s.Min != "" && s.Max != "":
		rules = append(rules, "from "+s.Min+" to "+s.Max)
	case s.Min != "":
		rules = append(rules, "at least "+s.Min)
	case s.Max != "":
		rules = append(rules, "at most "+s.Max)
	}
	if s.Secret && s.Type != "a secret" {
		rules = append(rules, "a secret")
	}
	for _, text := range []string{strings.Join(rules, ", "), s.Help} {
		if text != "" {
			first, size := utf8.DecodeRuneInString(text)
			fmt.Fprintf(&b, "      %s\n",
				wrap(strings.ToUpper(string(first))+strings.TrimSuffix(text[size:], ".")+".", 6))
		}
	}
	return b.String()
}
