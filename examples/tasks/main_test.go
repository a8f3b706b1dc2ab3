package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/servetest"
	"github.com/pasteline/pasteline/transaction"
)

// Test a whole site in the test process.
func TestSite(t *testing.T) {
	t.Parallel()
	site := servetest.New(t, "tasks.ini", register)
	browser := site.Browser()
	if got := browser.Get("/"); got.Body != "visits: 1\n" || got.Header.Get("X-Stamp") != "made by tasks" {
		t.Errorf("the first visit: %d %q %v", got.Status, got.Body, got.Header)
	}
	if got := browser.PostForm("/login", url.Values{"user": {"ann"}, "password": {"wrong"}}); got.Status != http.StatusForbidden {
		t.Errorf("a wrong password: %d %q", got.Status, got.Body)
	}
	token := browser.PostForm("/login", url.Values{"user": {"ann"}, "password": {"correct horse"}}).Body
	if got := browser.Get("/"); got.Body != "visits: 2\n" {
		t.Errorf("after the log-in: %q", got.Body)
	}
	if got := browser.PostForm("/order", url.Values{"item": {"pen"}}); got.Status != http.StatusConflict || got.Body != "It is sold out.\n" {
		t.Errorf("an item that is sold out: %d %q", got.Status, got.Body)
	}
	if got := browser.PostForm("/logout", url.Values{"csrf_token": {"wrong"}}); got.Status != http.StatusForbidden {
		t.Errorf("a log-out with a wrong token: %d", got.Status)
	}
	if got := browser.PostForm("/logout", url.Values{"csrf_token": {strings.TrimSpace(token)}}); got.Status != http.StatusOK {
		t.Errorf("the log-out: %d %q", got.Status, got.Body)
	}
	if got := browser.Get("/"); got.Body != "visits: 1\n" {
		t.Errorf("after the log-out: %q", got.Body)
	}
}

// An order is SQL, storage and session in one transaction.
func TestOrder(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	for _, uri := range []string{"bolt://%(here)s/data.db", uri, "slow://"} {
		scheme, _, _ := strings.Cut(uri, ":")
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			config := servetest.Config{File: "tasks.ini", Register: []func(*pipeline.Registry){register}}
			if scheme != "bolt" {
				config.Set = []string{"app:tasks.zodb_uri=" + uri}
			}
			site := config.New(t)
			db := site.DB(uri)
			err := transaction.Run(t.Context(), func(ctx context.Context) error {
				tx, err := db.Tx(ctx)
				if err != nil {
					return err
				}
				return tx.Bucket("stock").Put([]byte("pen"), []byte("1"))
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range []int{http.StatusOK, http.StatusConflict} {
				if got := site.Browser().PostForm("/order", url.Values{"item": {"pen"}}); got.Status != want {
					t.Errorf("got %d %q, want %d", got.Status, got.Body, want)
				}
			}
		})
	}
}
