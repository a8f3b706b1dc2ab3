package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pasteline/pasteline/bench/load"
	"github.com/pasteline/pasteline/bench/sites"
)

// stored measures the size of files with many sessions, each with two values of 200 bytes, and the
// start of Pasteline with such a file.
func (b *bench) stored(ctx context.Context) (err error) {
	dir, remove, err := tempDir(&err)
	if err != nil {
		return err
	}
	defer remove()
	folder := func(name string, n int) string {
		return filepath.Join(dir, fmt.Sprintf("%s-%d", name, n))
	}
	type file struct {
		name     string
		sessions int
		fill     func(ctx context.Context, path string, n int) error
	}
	files := []file{{sites.SCSBolt, slices.Max(b.plan.stored), fillSCS}}
	for _, n := range b.plan.stored {
		files = append(files, file{sites.Pasteline, n, fillPasteline})
	}
	for _, f := range files {
		const need = 2 << 30
		to := folder(f.name, f.sessions)
		err := sites.Staged(to, need, func(dir string) error {
			return f.fill(ctx, filepath.Join(dir, sites.DataFile), f.sessions)
		})
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		info, err := os.Stat(filepath.Join(to, sites.DataFile))
		if err != nil {
			return err
		}
		err = load.Line(b.w, "Stored/sessions="+b.scale(f.sessions)+"/who="+f.name, 1,
			load.Bytes(int(info.Size()), "file-B"))
		if err != nil {
			return err
		}
	}
	for range b.count {
		for _, n := range b.plan.stored {
			how := setup{dir: folder(sites.Pasteline, n)}
			err := b.with(ctx, sites.Pasteline, how, func(s *server) error {
				resident, err := s.memory("VmRSS")
				if err != nil {
					return err
				}
				return load.Line(b.w, "StartWith/sessions="+b.scale(n)+"/who="+s.name, 1,
					load.Nanoseconds(s.took, "start-ns"), load.Bytes(resident, "rss-B"))
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// scale names a number of sessions: a quick run has fewer.
func (b *bench) scale(sessions int) string {
	return []string{"100k", "1M"}[slices.Index(b.plan.stored, sessions)]
}

func fillPasteline(ctx context.Context, path string, n int) error {
	site, err := sites.OpenPastelineIni(ctx, filepath.Dir(path), sites.Ini("bolt://"+path))
	if err != nil {
		return err
	}
	return errors.Join(site.Fill(ctx, 0, n, sites.TwoTexts), site.Close())
}

func fillSCS(ctx context.Context, path string, n int) error {
	site, err := sites.OpenSCSBolt(path)
	if err != nil {
		return err
	}
	expiry := time.Now().Add(24 * time.Hour)
	return errors.Join(site.Fill(ctx, n, sites.TwoTexts, expiry), site.Close())
}
