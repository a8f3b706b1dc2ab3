package serve

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pasteline/pasteline/pipeline/tree"
)

// fmtOptions are the flags of serve fmt.
type fmtOptions struct{ write, check bool }

func fmtCommand() command {
	return command{
		name: "fmt", args: "FILE ...", summary: "print or write .ini files in one layout",
		about: `
Prints a file in the layout that all .ini files share: "key = value" from the first column, one
empty line in front of a section, no white space at the end of a line. Sections, keys, values and
comments stay as they are, and so do lines that belong to a value. FILE - is the standard input.

A file that the loader refuses is not formatted; its errors are printed.`,
		examples: []example{
			{"serve fmt -w *.ini", "format the files of a project"},
			{"serve fmt --check site.ini", "fail if the file is not formatted, for CI"},
		},
		setup: func(flags *flag.FlagSet) runner {
			o := fmtOptions{}
			flags.BoolVar(&o.write, "w", false,
				"write the result to the file, and print the names of changed files")
			flags.BoolVar(&o.check, "check", false,
				"print the names of files that are not formatted; exit with 1 if there are any")
			return o.run
		},
	}
}

func (o *fmtOptions) run(_ context.Context, c *call, args []string) error {
	switch {
	case len(args) == 0:
		return usagef("want the .ini files")
	case o.write && o.check:
		return usagef("-w and --check exclude each other")
	case len(args) > 1 && !o.write && !o.check:
		return usagef("want one file, or -w or --check for several")
	}
	var errs []error
	unformatted := 0
	for _, name := range args {
		changed, err := o.format(c, name)
		errs = append(errs, err)
		if changed {
			unformatted++
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if o.check && unformatted > 0 {
		return fmt.Errorf("not formatted: %d of %d; serve fmt -w FILE formats a file", unformatted,
			len(args))
	}
	return nil
}

// format formats one file, and reports whether that changes it.
func (o *fmtOptions) format(c *call, name string) (changed bool, err error) {
	if o.write && name == "-" {
		return false, usagef("-w writes files; the standard input is printed without it")
	}
	var text []byte
	if name == "-" {
		text, err = io.ReadAll(c.In)
	} else {
		text, err = os.ReadFile(name)
	}
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("%s: %w", name, path.Err)
	}
	if err != nil {
		return false, err
	}
	formatted, err := tree.Format(name, text)
	if err != nil {
		return false, err
	}
	changed = !bytes.Equal(text, formatted)
	switch {
	case !o.write && !o.check:
		_, err = c.Out.Write(formatted)
		return changed, err
	case !changed:
		return false, nil
	case o.write:
		if err := replaceFile(name, formatted); err != nil {
			return false, err
		}
	}
	_, err = fmt.Fprintln(c.Out, name)
	return true, err
}

// replaceFile replaces the content of a file. The file keeps its permissions; a symbolic link stays
// one.
func replaceFile(name string, text []byte) error {
	name, err := filepath.EvalSymlinks(name)
	if err != nil {
		return err
	}
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	return writeFile(name, text, info.Mode().Perm())
}

// writeFile writes a file atomically: after a crash it has the old or the new content.
func writeFile(name string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
