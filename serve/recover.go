package serve

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/pasteline/pasteline/internal/command/site"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction/recovery"
)

// recoverOptions are the flags of serve recover.
type recoverOptions struct {
	outside
	name          string
	dryRun        bool
	json          bool
	commit, abort string
}

func recoverCommand() command {
	return command{
		name: "recover", args: "CONFIG [name=value ...]",
		summary: "settle transactions that a crash has left unfinished",
		about: `
A transaction that writes to several databases prepares in all but one of them, and is decided by
the commit in that one. A process that dies in between leaves databases with prepared work and its
locks. This command loads the file as for serving, but opens no port. It finds such work in all
databases that the apps have opened, asks the database that decides, commits the work or rolls it
back, and prints the result. A server does the same when it starts and every half minute, so the
command is rarely needed.

The log goes to the standard error; log files that the .ini file names are not opened.

Work of a running process is skipped, and so is work that other programs have prepared. Work stays
in doubt if the file does not name the database that decides: use a file that names both. If that
database is lost, an administrator has to decide: --commit or --abort settles one transaction in
all databases of the file. This can't be undone. If it differs from the decision in the lost
database, the databases are inconsistent from then on.

Exits 0 if nothing is in doubt afterwards, else 1. With --json the output is a list with the keys
database, transaction, name, decider, since, verdict, settled, in_doubt and error.`,
		examples: []example{
			{"serve recover production.ini --dry-run", "what would be done"},
			{"serve recover production.ini", "settle the transactions"},
			{
				"serve recover site.ini --abort MZQWY5DBN5XGK4TFMFZWKYLT",
				"roll back one transaction by hand",
			},
		},
		setup: func(flags *flag.FlagSet) runner {
			var o recoverOptions
			o.setFlag(flags)
			nameFlag(flags, &o.name,
				"`NAME` of the app or pipeline whose databases are used (default main)")
			flags.BoolVar(&o.dryRun, "dry-run", false,
				"print what would be done, and change nothing")
			flags.BoolVar(&o.json, "json", false, "print JSON")
			flags.StringVar(&o.commit, "commit", "",
				"commit the prepared parts of a `TRANSACTION` whose coordinator is lost")
			flags.StringVar(&o.abort, "abort", "",
				"roll back the prepared parts of a `TRANSACTION` whose coordinator is lost")
			return o.run
		},
	}
}

func (o *recoverOptions) run(ctx context.Context, c *call, args []string) error {
	config, err := o.arguments(args)
	if err != nil {
		return err
	}
	if o.commit != "" && o.abort != "" {
		return usagef("--commit and --abort exclude each other")
	}
	return c.withDatabases(ctx, config, o.outside, o.name, func(logger *slog.Logger,
		opener *storage.Opener,
	) error {
		return o.recover(ctx, c, logger, opener.Recovery())
	}, fmt.Sprintf("a running server recovers when it starts and every %v, and logs the result",
		site.RecoveryInterval))
}

// withDatabases loads a file, and calls f while the databases of its apps are open. None is created.
// The error for a database that another process has open ends with inUse.
func (c *call) withDatabases(ctx context.Context, config string, o outside, name string,
	f func(*slog.Logger, *storage.Opener) error, inUse string,
) (err error) {
	log, err := c.openLogOnStderr(config, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	load := c.loadOptions(o)
	load.Name, load.Logger = name, log.Logger()
	load.Registry.Opener().Try() // creates no database
	task := c.screen.Start(log.Logger(), "opening the databases of "+config)
	p, err := pipeline.Load(ctx, config, load)
	task.Stop()
	if errors.Is(err, storage.ErrInUse) {
		return fmt.Errorf("%w\n%s", err, inUse)
	}
	if err != nil {
		return err
	}
	return errors.Join(f(log.Logger(), load.Registry.Opener()), p.Close())
}

// recover settles the transactions in the open databases.
func (o *recoverOptions) recover(ctx context.Context, c *call, logger *slog.Logger,
	databases *recovery.Set,
) error {
	options := recovery.Options{DryRun: o.dryRun}
	var found []recovery.Finding
	var refused error
	task := c.screen.Start(logger, "settling transactions")
	options.Progress = task.Count
	if txn := cmp.Or(o.commit, o.abort); txn != "" {
		found, refused = databases.Force(ctx, txn, o.commit != "", options)
	} else {
		found = databases.Recover(ctx, options)
	}
	task.Stop()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	write := writeFindings
	if o.json {
		write = writeFindingsJSON
	}
	if refused == nil || len(found) > 0 || o.json {
		if err := write(c.Out, found); err != nil {
			return err
		}
	}
	inDoubt := 0
	for _, f := range found {
		if f.InDoubt() {
			inDoubt++
		}
	}
	switch {
	case refused != nil || inDoubt == 0:
		return refused
	case o.dryRun:
		return fmt.Errorf("in doubt: %d; nothing was changed", inDoubt)
	}
	return fmt.Errorf("still in doubt: %d", inDoubt)
}

func writeFindings(w io.Writer, found []recovery.Finding) error {
	if len(found) == 0 {
		_, err := fmt.Fprintln(w, "no prepared transactions")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(table, "DATABASE\tTRANSACTION\tPREPARED\tRESULT"); err != nil {
		return err
	}
	for _, f := range found {
		transaction, since := "-", "-"
		if f.Prepared.Name != "" {
			transaction, since = f.Prepared.Transaction, f.Prepared.Since.UTC().Format(time.RFC3339)
		}
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.Participant, transaction, since,
			resultOf(f)); err != nil {
			return err
		}
	}
	return table.Flush()
}

// resultOf describes the result for one finding.
func resultOf(f recovery.Finding) string {
	will, is := "", ""
	switch f.Verdict {
	case recovery.Leave:
		return "in progress"
	case recovery.Finish:
		will, is = "to be committed", "committed"
	case recovery.Abort:
		will, is = "to be rolled back", "rolled back"
	case recovery.Unknown:
		will = "in doubt"
	}
	switch {
	case f.Settled:
		return is
	case f.Err != nil:
		return will + ": " + f.Err.Error()
	}
	return will
}

func writeFindingsJSON(w io.Writer, found []recovery.Finding) error {
	type entry struct {
		Database    string     `json:"database"`
		Transaction string     `json:"transaction,omitempty"`
		Name        string     `json:"name,omitempty"`
		Recorder    string     `json:"decider,omitempty"`
		Since       *time.Time `json:"since,omitempty"`
		Verdict     string     `json:"verdict"`
		Settled     bool       `json:"settled"`
		InDoubt     bool       `json:"in_doubt"`
		Error       string     `json:"error,omitempty"`
	}
	list := []entry{}
	for _, f := range found {
		e := entry{
			Database: f.Participant, Transaction: f.Prepared.Transaction, Name: f.Prepared.Name,
			Recorder: f.Prepared.Recorder,
			Verdict:  f.Verdict.String(), Settled: f.Settled, InDoubt: f.InDoubt(),
		}
		if !f.Prepared.Since.IsZero() {
			e.Since = new(f.Prepared.Since.UTC())
		}
		if f.Err != nil {
			e.Error = f.Err.Error()
		}
		list = append(list, e)
	}
	return writeJSON(w, list)
}
