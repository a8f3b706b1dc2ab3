package sites

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alexedwards/scs/v2"
	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/bench/load"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/transaction"
)

// A Value is a key of a session and its value.
type Value struct {
	Key   string
	Value any
}

// OneNumber is the session of the site itself.
func OneNumber(i int) []Value { return []Value{{counterKey, i}} }

// FourValues is a session as many sites have it: a number and three short texts.
func FourValues(i int) []Value {
	return []Value{
		{counterKey, i},
		{"user", "visitor number 123456"},
		{"theme", "dark"},
		{"token", "ykQDrpGZ1hVbTn3xWc7sMf0Lj2q"},
	}
}

// TwoTexts is a session of two values of 200 bytes.
func TwoTexts(int) []Value { return []Value{{"first", text200}, {"second", text200}} }

var text200 = strings.Repeat("0123456789", 20)

// fillBatch is the number of sessions that are stored in one transaction.
const fillBatch = 1000

// batches calls fill for every fillBatch of the numbers from, ..., from+n-1.
func batches(ctx context.Context, from, n int, fill func(from, to int) error) error {
	for first := from; first < from+n; first += fillBatch {
		if err := cmp.Or(ctx.Err(), fill(first, min(first+fillBatch, from+n))); err != nil {
			return err
		}
	}
	return nil
}

// Fill stores the sessions number from, ..., from+n-1, with the values that a function returns for
// the number.
func (s *PastelineSite) Fill(ctx context.Context, from, n int, values func(int) []Value) error {
	return batches(ctx, from, n, func(from, to int) error {
		return transaction.Run(ctx, func(ctx context.Context) error {
			for i := from; i < to; i++ {
				id := fmt.Sprintf("a browser id of some length %d", i)
				one, err := s.Sessions.Get(session.WithID(ctx, id))
				if err != nil {
					return err
				}
				for _, v := range values(i) {
					if err := one.Set(v.Key, v.Value); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
}

// Fill stores n sessions that expire at a time, with the values that a function returns for a
// number.
func (s *SCSBoltSite) Fill(
	ctx context.Context, n int, values func(int) []Value, expiry time.Time,
) error {
	return batches(ctx, 0, n, func(from, to int) error {
		return s.DB.Update(func(tx *bbolt.Tx) error {
			for i := from; i < to; i++ {
				all := map[string]any{}
				for _, v := range values(i) {
					all[v.Key] = v.Value
				}
				data, err := scs.GobCodec{}.Encode(expiry, all)
				if err != nil {
					return err
				}
				if err := s.Store.Put(tx, SCSToken(), data, expiry); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// Visitors has n browsers increment their number on a site, and returns them.
func Visitors(ctx context.Context, site *Site, clients, n int) ([]*load.Client, error) {
	all := make([]*load.Client, n)
	next := make(chan *load.Client, n)
	for i := range all {
		all[i] = load.NewClient(site)
		next <- all[i]
	}
	stats := load.Run(clients, load.Times(n), func(int) error {
		_, err := (<-next).Do(ctx, "POST", "/incr")
		return err
	})
	return all, stats.Err
}

// memory is a folder in memory, in which files are filled without waiting for a disk.
const memory = "/dev/shm"

// Staged calls fill with a folder in memory, if that has need bytes of room, and then moves its
// files to dir. Otherwise it calls fill with dir. The files are on the disk when it returns.
func Staged(dir string, need int64, fill func(dir string) error) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	var fs syscall.Statfs_t
	err = syscall.Statfs(memory, &fs)
	if err != nil || int64(fs.Bavail)*fs.Bsize < need { //nolint:gosec // no overflow
		return fill(dir)
	}
	stage, err := os.MkdirTemp(memory, "pasteline-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(stage)) }()
	if err := fill(stage); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(stage, "*"))
	for _, file := range files {
		err = cmp.Or(err, CopyFile(file, filepath.Join(dir, filepath.Base(file))), os.Remove(file))
	}
	return err
}

// CopyFile copies a file, and waits until the copy is on the disk, so that no later commit waits
// for it.
func CopyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, in.Close()) }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
