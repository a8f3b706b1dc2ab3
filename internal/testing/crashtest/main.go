// Command crashtest moves amounts between two databases until it is killed; the tests beside it run
// and kill it. An amount that is taken from one database is added to the other, and both record the
// transfer by its id. So the sum of all balances is always 0, and a transfer that only one of them
// has recorded can be named.
//
//	crashtest -name p1 postgres://… bolt:///…
//
// When it starts it runs recovery, as serve does, and prints ready. Then it reads commands, one a
// line, from its standard input:
//
//	move 10     make 10 transfers; print for each "committed ID", "aborted ID: reason" or
//	            "doubt ID: reason"; then "moved"
//	recover     run recovery once, and print "left N", the number of parts that are still prepared
//	dump        print the contents of both databases as JSON, in one line
//
// At the end of its input it closes the databases and exits.
//
// A URI is postgres://, with the tables of the tests; bolt://; or sqlite: followed by a data source
// name of modernc.org/sqlite.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pasteline/pasteline/transaction"
	"github.com/pasteline/pasteline/transaction/recovery"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "crashtest:", err)
		os.Exit(1)
	}
}

// A worker moves amounts from the first side to the second, or back.
type worker struct {
	name       string // prefix of the ids of its transfers
	kind       int    // selects the ways to write; see way
	goroutines int
	set        *recovery.Set
	sides      [2]*side
	out        io.Writer // each write is one whole line
	count      atomic.Int64
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) (err error) {
	w := &worker{out: out}
	flags := flag.NewFlagSet("crashtest", flag.ContinueOnError)
	flags.StringVar(&w.name, "name", "p", "what the ids of transfers begin with")
	flags.IntVar(&w.kind, "kind", mixed, "how a database that can be written to in two ways is: "+
		"0 buckets, 1 and 2 both, 3 SQL, -1 in turn")
	flags.IntVar(&w.goroutines, "goroutines", 1, "how many transfers are made at once")
	every := flags.Duration("every", 30*time.Second, "how often to recover")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 2 {
		return errors.New("want the URIs of two databases")
	}
	databases := newDatabases()
	w.set = databases.opener.Recovery()
	for i := range w.sides {
		if w.sides[i], err = databases.open(ctx, flags.Arg(i)); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, w.sides[i].close()) }()
	}
	recovering := recovery.Start(ctx, w.set, *every, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	defer recovering.Close()
	w.print("ready")
	orders := bufio.NewScanner(in)
	for orders.Scan() {
		if err := w.obey(ctx, orders.Text()); err != nil {
			return err
		}
	}
	return orders.Err()
}

func (w *worker) print(format string, args ...any) {
	_, _ = fmt.Fprintf(w.out, format+"\n", args...)
}

func (w *worker) obey(ctx context.Context, order string) error {
	verb, rest, _ := strings.Cut(order, " ")
	switch verb {
	case "move":
		n, err := strconv.Atoi(rest)
		if err != nil {
			return err
		}
		w.move(ctx, n)
		w.print("moved")
	case "recover":
		left := 0
		for _, f := range w.set.Recover(ctx, recovery.Options{}) {
			if !f.Settled {
				left++
			}
		}
		w.print("left %d", left)
	case "dump":
		text, err := w.dump(ctx)
		if err != nil {
			return err
		}
		w.print("%s", text)
	default:
		return fmt.Errorf("no order %q: want move N, recover or dump", order)
	}
	return nil
}

// move makes n transfers.
func (w *worker) move(ctx context.Context, n int) {
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for g := range w.goroutines {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				number := w.count.Add(1)
				id := fmt.Sprintf("%s-%d", w.name, number)
				switch err := w.transfer(ctx, id, int(number), g); {
				case err == nil:
					w.print("committed %s", id)
				case errors.Is(err, transaction.ErrInDoubt):
					w.print("doubt %s: %s", id, oneLine(err))
				default:
					w.print("aborted %s: %s", id, oneLine(err))
				}
			}
		})
	}
	wg.Wait()
}

func oneLine(err error) string { return strings.ReplaceAll(err.Error(), "\n", "; ") }

// patience retries long enough for a server to be killed and started again.
var patience = transaction.Policy{
	Tries: 60, Delay: 5 * time.Millisecond,
	MaxDelay: 200 * time.Millisecond, Jitter: 0.5,
}

// transfer is one transaction. On the first side every goroutine has its own account, on the second
// they share a few, so that most conflicts occur while the first side is prepared.
func (w *worker) transfer(ctx context.Context, id string, number, goroutine int) error {
	amount := 1 + rand.Int64N(9)
	if rand.IntN(2) == 0 {
		amount = -amount
	}
	account := [2]string{strconv.Itoa(goroutine), strconv.Itoa(number % 2)}
	kind := w.kind
	if kind == mixed {
		kind = number % 4
	}
	return transaction.Run(ctx, func(ctx context.Context) error {
		for i, s := range w.sides {
			if err := s.way(kind&1).add(ctx, account[i], amount); err != nil {
				return err
			}
			if err := s.way(kind&2).record(ctx, id, amount); err != nil {
				return err
			}
			amount = -amount
		}
		return nil
	}, patience)
}

// mixed is the kind of a worker that uses all the others in turn.
const mixed = -1

// A state is the contents of one database.
type state struct {
	Balance   int64            `json:"balance"`
	Transfers map[string]int64 `json:"transfers"`
}

// errEnough aborts a transaction that only reads: a commit would be another two-phase commit.
var errEnough = errors.New("enough was read")

// dump must be called while there are no writers: two databases have no common snapshot.
func (w *worker) dump(ctx context.Context) ([]byte, error) {
	var states [2]state
	err := transaction.Run(ctx, func(ctx context.Context) error {
		for i, s := range w.sides {
			states[i] = state{Transfers: map[string]int64{}}
			for _, way := range s.ways {
				if err := way.read(ctx, &states[i]); err != nil {
					return err
				}
			}
		}
		return errEnough
	}, patience)
	if !errors.Is(err, errEnough) {
		return nil, err
	}
	return json.Marshal(states)
}
