package site_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/pasteline/pasteline/internal/command/logging"
	"github.com/pasteline/pasteline/internal/command/site"
)

func ExampleRun() {
	dir, err := os.MkdirTemp("", "site")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	config := filepath.Join(dir, "site.ini")
	if err := os.WriteFile(config, []byte(ini), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	log, err := logging.Open(config, logging.Options{Stderr: os.Stderr})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()

	ctx, cancel := context.WithCancel(context.Background())
	listening := func(_ context.Context, addrs []net.Addr) (stopped func(), err error) {
		go func() {
			defer cancel() // the running request may finish
			response, err := http.Get(site.URL(addrs[0]))
			if err != nil {
				fmt.Println(err)
				return
			}
			defer response.Body.Close()
			text, err := io.ReadAll(response.Body)
			fmt.Println(string(text), err)
		}()
		return func() { fmt.Println("stopped") }, nil
	}
	err = site.Run(ctx, site.Options{
		Config: config, Register: register, Log: log, Listening: listening,
		Interval: time.Second, Grace: time.Minute,
	})
	fmt.Println(err)
	// Output:
	// hello <nil>
	// stopped
	// <nil>
}
