package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/pasteline/pasteline/bench/load"
	"github.com/pasteline/pasteline/bench/sites"
)

// largeClients is the number of clients that send and receive at the same time.
const largeClients = 4

// large measures the peak memory of a server, with bodies and responses of different sizes: a new
// server for each. All sizes move the same number of megabytes, since the peak depends on how often
// garbage is collected and how often the clients overlap.
func (b *bench) large(ctx context.Context) error {
	for range (b.count + 1) / 2 {
		for _, megabytes := range b.plan.large {
			times := max(largeClients, b.moved/megabytes)
			peak, err := b.peak(ctx, megabytes<<20, times)
			if err != nil {
				return err
			}
			name := fmt.Sprintf("Memory/megabytes=%d/who=%s", megabytes, sites.Pasteline)
			if err := load.Line(b.w, name, times, load.Bytes(peak, "peak-rss-B")); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *bench) peak(ctx context.Context, size, times int) (peak int, err error) {
	s, err := b.start(ctx, sites.Pasteline, setup{})
	if err != nil {
		return 0, err
	}
	defer s.stop(&err)
	stats := load.Run(largeClients, load.Times(times), func(int) error {
		var got counting
		if err := s.get(ctx, "/large/"+strconv.Itoa(size), "", &got); err != nil {
			return err
		}
		if int(got) != size {
			return fmt.Errorf("got %d bytes, want %d", got, size)
		}
		body := io.LimitReader(zeros{}, int64(size))
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/upload", body)
		if err != nil {
			return err
		}
		r.ContentLength = int64(size)
		return s.send(r, io.Discard)
	})
	if stats.Err != nil {
		return 0, stats.Err
	}
	return s.memory("VmHWM")
}

type counting int

func (c *counting) Write(p []byte) (int, error) {
	*c += counting(len(p))
	return len(p), nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
