package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/transaction"
)

func add(b storage.Bucket, key string, n int) error {
	value, err := b.Get([]byte(key))
	if err != nil {
		return err
	}
	now := 0
	if value != nil {
		if now, err = strconv.Atoi(string(value)); err != nil {
			return err
		}
	}
	return b.Put([]byte(key), strconv.AppendInt(nil, int64(now+n), 10))
}

// run calls transaction.Run, with the bucket for f.
func run(db *storage.DB, f func(b storage.Bucket) error) error {
	return transaction.Run(context.Background(), func(ctx context.Context) error {
		tx, err := db.Tx(ctx)
		if err != nil {
			return err
		}
		return f(tx.Bucket("b"))
	})
}

// every runs f in the transactions of all clients, and returns the number of commits. A conflict in
// all tries is allowed for one transaction in a hundred; other errors are not.
func every(t *suite, db *storage.DB,
	f func(client, n int, b storage.Bucket) error,
) (committed int) {
	t.Helper()
	var done, failed atomic.Int64
	var group sync.WaitGroup
	for client := range t.Clients {
		group.Go(func() {
			for n := range t.Transactions {
				err := run(db, func(b storage.Bucket) error { return f(client, n, b) })
				switch {
				case err == nil:
					done.Add(1)
				case transaction.IsTransient(err):
					failed.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if n := t.Clients * t.Transactions; failed.Load() > int64(n/100) {
		t.Errorf("%d of %d transactions conflicted in all their tries, want at most 1 %%",
			failed.Load(), n)
	}
	return int(done.Load())
}

// A handler may still run when its transaction ends, after http.TimeoutHandler has answered for
// example. Each of its calls then either takes effect whole or is refused.
func testEndsWhileUsed(t *suite) {
	db := t.open()
	for i := range 20 {
		for _, end := range []func(*client){(*client).commit, (*client).abort} {
			set(t, db, "a", "1", "b", "2")
			c := begin(t, db)
			started := make(chan struct{}, 2)
			var left sync.WaitGroup
			for name, f := range map[string]func(storage.Bucket, []byte) error{
				"get": func(b storage.Bucket, key []byte) error {
					_,
						err := b.Get(key)
					return err
				},
				"put":    func(b storage.Bucket, key []byte) error { return b.Put(key, key) },
				"delete": storage.Bucket.Delete,
				"range": func(b storage.Bucket, _ []byte) error {
					for _, err := range b.Range(storage.Range{}) {
						if err != nil {
							return err
						}
					}
					return nil
				},
				"add read conflict": storage.Bucket.AddReadConflict,
				"Tx": func(storage.Bucket, []byte) error {
					tx, err := db.Tx(c.ctx)
					if err == nil {
						tx.Bucket("another")
					}
					return err
				},
			} {
				left.Go(func() {
					var err error
					for n := 0; err == nil; n++ {
						err = f(c.bucket, strconv.AppendInt(nil, int64(n%100), 10))
						select {
						case started <- struct{}{}:
						default:
						}
					}
					if !errors.Is(err, transaction.ErrEnded) {
						t.Errorf("%s: got %v, want ErrEnded", name, err)
					}
				})
			}
			for range i % 5 {
				<-started
			}
			end(c)
			left.Wait()
		}
	}
}

// No increment is lost, and nearly all succeed, because of the queue for contended keys.
func testIncrements(t *suite) {
	db := t.open()
	committed := every(t, db, func(_, _ int, b storage.Bucket) error {
		return add(b, "n", 1)
	})
	if got, want := all(t, db), fmt.Sprintf("n=%d", committed); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Clients increment two keys in opposite order.
func testIncrementsOppositeOrder(t *suite) {
	db := t.open()
	committed := every(t, db, func(client, _ int, b storage.Bucket) error {
		keys := []string{"m", "n"}
		if client%2 == 0 {
			slices.Reverse(keys)
		}
		for _, key := range keys {
			if err := add(b, key, 1); err != nil {
				return err
			}
		}
		return nil
	})
	if got, want := all(t, db), fmt.Sprintf("m=%[1]d n=%[1]d", committed); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Clients read a whole range before they add a key to it, so that each conflict is over a new key.
func testCountAndAdd(t *suite) {
	db := t.open()
	committed := every(t, db, func(_, n int, b storage.Bucket) error {
		room := fmt.Appendf(nil, "%d.", n/10)
		count := 0
		for _, err := range b.Range(storage.Prefix(room)) {
			if err != nil {
				return err
			}
			count++
		}
		return b.Put(fmt.Appendf(room, "%06d", count), nil)
	})
	if got := strings.Count(all(t, db), "="); got != committed {
		t.Errorf("got %d keys, want %d", got, committed)
	}
}

// Some clients move money between accounts while others count it.
func testTransfers(t *suite) {
	db := t.open()
	const accounts, total = 40, 40 * 100
	c := begin(t, db)
	for i := range accounts {
		c.put(fmt.Sprintf("%02d", i), "100")
	}
	c.commit()
	every(t, db, func(client, n int, b storage.Bucket) error {
		if client%8 == 0 {
			sum := 0
			for item, err := range b.Range(storage.Range{Reverse: n%2 == 0}) {
				if err != nil {
					return err
				}
				m, err := strconv.Atoi(string(item.Value))
				if err != nil {
					return err
				}
				sum += m
			}
			if sum != total {
				t.Errorf("counted %d, want %d", sum, total)
			}
			return nil
		}
		// Each attempt uses the same accounts.
		random := newRandom(fmt.Sprint(client, n))
		from, to := random.IntN(accounts), random.IntN(accounts-1)
		if to >= from {
			to++
		}
		if err := add(b, fmt.Sprintf("%02d", from), -1); err != nil {
			return err
		}
		return add(b, fmt.Sprintf("%02d", to), 1)
	})
	err := run(db, func(b storage.Bucket) error {
		sum := 0
		for item, err := range b.Range(storage.Range{}) {
			if err != nil {
				return err
			}
			m, _ := strconv.Atoi(string(item.Value))
			sum += m
		}
		if sum != total {
			return errors.New("the sum has changed: " + strconv.Itoa(sum))
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
