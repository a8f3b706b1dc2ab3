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
	want := func(got servetest.Reply, status int, body string) {
		t.Helper()
		if got.Status != status || got.Body != body {
			t.Errorf("got %d %q, want %d %q", got.Status, got.Body, status, body)
		}
	}
	first := browser.Get("/")
	want(first, 200, "visits: 1\n")
	if stamp := first.Header.Get("X-Stamp"); stamp != "made by tasks" {
		t.Errorf("X-Stamp is %q", stamp)
	}
	want(browser.Get("/user"), 401, "Log in first.\n")
	account := url.Values{"user": {"ann"}, "password": {"wrong"}}
	want(browser.PostForm("/login", account), 403, "The password is wrong.\n")
	account.Set("password", "correct horse")
	token := strings.TrimSpace(browser.PostForm("/login", account).Body)
	want(browser.Get("/"), 200, "visits: 2\n")
	want(browser.Get("/user"), 200, "ann\n")
	want(browser.PostForm("/order", url.Values{"item": {"pen"}}), 409, "It is sold out.\n")
	wrong := url.Values{"csrf_token": {"wrong"}}
	want(browser.PostForm("/logout", wrong), 403, "Send the form again.\n")
	want(browser.PostForm("/logout", url.Values{"csrf_token": {token}}), 200, "")
	want(browser.Get("/"), 200, "visits: 1\n")
}

// An order is SQL, storage and session in one transaction.
func TestOrder(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	for _, uri := range []string{"bolt://%(here)s/data.db", uri, "slow://"} {
		scheme, _, _ := strings.Cut(uri, ":")
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			config := servetest.Config{File: "tasks.ini"}
			config.Register = []func(*pipeline.Registry){register}
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
				got := site.Browser().PostForm("/order", url.Values{"item": {"pen"}})
				if got.Status != want {
					t.Errorf("got %d %q, want %d", got.Status, got.Body, want)
				}
			}
		})
	}
}
