// Command report reads the output of the benchmarks of some runs, and writes a table of the figures
// and their bounds.
//
//	report [-o RESULTS.md] [-plots FOLDER] [-note TEXT] FOLDER...
//
// Each FOLDER is a run: files *.txt in the Go benchmark format, and machine.txt. Each plot is of
// the last run that has its benchmarks.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/pasteline/pasteline/bench/results"
)

func main() {
	output := flag.String("o", "", "a file for the table; the standard output if not given")
	plots := flag.String("plots", "", "a folder for the plots; none are made if not given")
	note := flag.String("note", "", "a sentence on top of the table")
	flag.Parse()
	if err := run(*output, *plots, *note, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(output, plots, note string, dirs []string) error {
	if len(dirs) == 0 {
		return errors.New("which runs? Name their folders, such as out/first")
	}
	var runs []*results.Run
	for _, dir := range dirs {
		r, err := results.Read(dir)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	var table bytes.Buffer
	if err := results.Markdown(&table, note, runs...); err != nil {
		return err
	}
	if plots != "" {
		if _, err := results.Plots(plots, runs...); err != nil {
			return err
		}
	}
	if output == "" {
		_, err := os.Stdout.Write(table.Bytes())
		return err
	}
	return os.WriteFile(output, table.Bytes(), 0o644) //nolint:gosec // all may read it
}
