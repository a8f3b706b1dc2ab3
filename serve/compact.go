package serve

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/engine"
)

// compactOptions are the flags of serve compact.
type compactOptions struct {
	outside
	name string
	json bool
}

func compactCommand() command {
	return command{
		name: "compact", args: "CONFIG [name=value ...]",
		summary: "make the database files smaller that deletions have left with free room",
		about: `
A bolt file does not become smaller when data is deleted: the free room is used for the next writes.
This command loads the file as for serving, but opens no port. It writes a copy of each bolt file
that the apps have opened, without the free room, checks the copy, and puts it in the place of the
file. Beside the file there must be room for the copy. If the command is interrupted, the file stays
as it is.

Stop the server first. Databases of other kinds are left alone; PostgreSQL has VACUUM.

With --json the output is a list with the keys database, before and after, in bytes.`,
		examples: []example{
			{"serve compact production.ini", "compact the databases of all apps"},
			{"serve compact production.ini -n shop", "only those of the app shop"},
		},
		setup: func(flags *flag.FlagSet) runner {
			var o compactOptions
			o.setFlag(flags)
			nameFlag(flags, &o.name,
				"`NAME` of the app or pipeline whose databases are compacted (default main)")
			flags.BoolVar(&o.json, "json", false, "print JSON")
			return o.run
		},
	}
}

// A compacted is a database that was compacted, with its size in bytes.
type compacted struct {
	Database string `json:"database"`
	Before   int64  `json:"before"`
	After    int64  `json:"after"`
}

func (o *compactOptions) run(ctx context.Context, c *call, args []string) error {
	config, err := o.arguments(args)
	if err != nil {
		return err
	}
	return c.withDatabases(ctx, config, o.outside, o.name, func(logger *slog.Logger,
		opener *storage.Opener,
	) error {
		done, err := c.compact(ctx, logger, opener.Engines())
		if err != nil {
			return err
		}
		if o.json {
			return writeJSON(c.Out, done)
		}
		return writeCompacted(c.Out, done)
	}, "stop the server first: its file can't be replaced while it is open")
}

// compact compacts the databases that can be.
func (c *call) compact(ctx context.Context, logger *slog.Logger, engines map[string]engine.Engine) (
	done []compacted, err error,
) {
	done = []compacted{}
	for _, name := range slices.Sorted(maps.Keys(engines)) {
		e, ok := engines[name].(engine.Compacter)
		if !ok {
			continue
		}
		task := c.screen.Start(logger, "compacting "+name+", in MiB")
		before, after, err := e.Compact(ctx, func(done, total int64) {
			task.Count(int(done>>20), int(total>>20))
		})
		task.Stop()
		if err != nil {
			return done, fmt.Errorf("%s: %w", name, err)
		}
		done = append(done, compacted{name, before, after})
	}
	return done, nil
}

func writeCompacted(w io.Writer, done []compacted) error {
	if len(done) == 0 {
		_, err := fmt.Fprintln(w, "no database that can be compacted")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(table, "DATABASE\tBEFORE\tAFTER"); err != nil {
		return err
	}
	for _, d := range done {
		if _, err := fmt.Fprintf(table, "%s\t%s\t%s\n", d.Database, mebibytes(d.Before),
			mebibytes(d.After)); err != nil {
			return err
		}
	}
	return table.Flush()
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
