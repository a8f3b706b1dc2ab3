package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/internal/testing/pgtest"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
)

// onDatabase returns shop.ini with another database.
func onDatabase(t *testing.T, uri string) []byte {
	t.Helper()
	text, err := os.ReadFile("shop.ini")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Replace(text, []byte("postgres://localhost/shop"), []byte(uri), 1)
}

// open opens the shop as one program does, and returns its address.
func open(t *testing.T, uri string) string {
	t.Helper()
	registry := pipeline.NewRegistry()
	serve.Standard(registry)
	register(registry)
	p, err := pipeline.Load(t.Context(), "shop.ini", pipeline.Options{
		Registry: registry,
		ReadFile: func(string) ([]byte, error) { return onDatabase(t, uri), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(p)
	t.Cleanup(func() {
		server.Close()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return server.URL
}

// A customer is a browser, and what should be in its cart.
type customer struct {
	t      *testing.T
	client *http.Client
	cart   map[string]int
}

func newCustomer(t *testing.T) *customer {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &customer{t, &http.Client{Jar: jar}, map[string]int{}}
}

func (c *customer) do(method, url string) (status int, body string) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), method, url, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	response, err := c.client.Do(request)
	if err != nil {
		c.t.Error(err)
		return 0, ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Error(err)
	}
	return response.StatusCode, string(text)
}

// want does a request and compares the answer.
func (c *customer) want(method, url string, status int, body string) {
	c.t.Helper()
	if gotStatus, got := c.do(method, url); gotStatus != status || got != body {
		c.t.Errorf("%s %s: got %d %q, want %d %q", method, url, gotStatus, got, status, body)
	}
}

func connect(t *testing.T, uri string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), uri)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func number(t *testing.T, conn *pgx.Conn, query string) (n int) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// stock returns the page with the number of each product in stock and in the cart.
func stock(cups, cupsInCart, pots, potsInCart, trays, traysInCart int) string {
	return fmt.Sprintf("cup: %d in stock, %d in the cart\npot: %d in stock, %d in the cart\n"+
		"tray: %d in stock, %d in the cart\n",
		cups, cupsInCart, pots, potsInCart, trays, traysInCart)
}

func TestOrder(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	shop, conn := open(t, uri), connect(t, uri)
	ada := newCustomer(t)
	ada.want("GET", shop, 200, stock(100, 0, 20, 0, 5, 0))
	ada.want("POST", shop+"/orders", 409, "the cart is empty\n")
	ada.want("POST", shop+"/cart/sofa", 404, "Not Found\n")
	ada.want("POST", shop+"/cart/pot", 200, "1 in the cart\n")
	ada.want("POST", shop+"/cart/pot", 200, "2 in the cart\n")
	ada.want("POST", shop+"/cart/cup", 200, "1 in the cart\n")
	ada.want("POST", shop+"/orders", 200, "order 1\n")
	ada.want("GET", shop, 200, stock(99, 0, 18, 0, 5, 0))

	// All or nothing: the cups are there, but not so many trays.
	ada.want("POST", shop+"/cart/cup", 200, "1 in the cart\n")
	for n := 1; n <= 6; n++ {
		ada.want("POST", shop+"/cart/tray", 200, fmt.Sprintf("%d in the cart\n", n))
	}
	ada.want("POST", shop+"/orders", 409, "tray: not so many are left\n")
	ada.want("GET", shop, 200, stock(99, 1, 18, 0, 5, 6))
	if n := number(t, conn, `SELECT count(*) FROM customer_order`); n != 1 {
		t.Errorf("there are %d orders, want 1", n)
	}
	// A refused order leaves no connection busy. (The response does not wait for its rollback.)
	const busy = `SELECT count(*) FROM pg_stat_activity
		WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`
	for deadline := time.Now().Add(time.Minute); number(t, conn, busy) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("a connection is still busy")
		}
	}
	newCustomer(t).want("GET", shop, 200, stock(99, 0, 18, 0, 5, 0))
}

// Customers of two programs buy until little is left. No item is sold twice, and items that were
// not ordered stay in the carts.
func TestSellOut(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	conn := connect(t, uri)
	shops := []string{open(t, uri), open(t, uri)}
	shop := func() string { return shops[rand.IntN(len(shops))] }
	products := []string{"cup", "pot", "tray"}
	var orders sync.Map // the answers
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			c := newCustomer(t)
			for refused := 0; refused < 3 && !t.Failed(); {
				product := products[rand.IntN(len(products))]
				if status, body := c.persist("POST", shop()+"/cart/"+product); status != 200 {
					t.Errorf("cart: got %d %q", status, body)
				}
				c.cart[product]++
				switch status, body := c.persist("POST", shop()+"/orders"); status {
				case 200:
					if _, again := orders.LoadOrStore(body, nil); again {
						t.Errorf("got %q a second time", body)
					}
					clear(c.cart)
				case 409:
					refused++
					c.checkCart(shop())
					c = newCustomer(t)
				default:
					t.Errorf("order: got %d %q", status, body)
				}
			}
		})
	}
	all.Wait()
	acknowledged := 0
	orders.Range(func(any, any) bool { acknowledged++; return true })
	if n := number(t, conn, `SELECT count(*) FROM customer_order`); n != acknowledged {
		t.Errorf("there are %d orders, want the %d that were acknowledged", n, acknowledged)
	}
	if n := number(t, conn, `SELECT sum(stock) FROM product`) +
		number(t, conn, `SELECT sum(quantity) FROM order_line`); n != 125 {
		t.Errorf("stock and orders come to %d, want 125", n)
	}
	if n := number(t, conn, `SELECT count(*) FROM customer_order WHERE number NOT IN (SELECT `+
		`order_number FROM order_line)`); n != 0 {
		t.Errorf("%d orders are of nothing", n)
	}
	t.Logf("%d orders", acknowledged)
}

// persist comes back as long as it is told to.
func (c *customer) persist(method, url string) (status int, body string) {
	c.t.Helper()
	for {
		if status, body = c.do(method, url); status != 503 {
			return status, body
		}
		c.t.Logf("%s: busy", url)
	}
}

var pageLine = regexp.MustCompile(`(\w+): \d+ in stock, (\d+) in the cart`)

// checkCart compares what the shop says is in the cart with what should be.
func (c *customer) checkCart(shop string) {
	c.t.Helper()
	_, page := c.persist("GET", shop)
	for _, m := range pageLine.FindAllStringSubmatch(page, -1) {
		if want := strconv.Itoa(c.cart[m[1]]); m[2] != want {
			c.t.Errorf("%s: %s in the cart, want %s", m[1], m[2], want)
		}
	}
}

// The configuration can be checked beside the server: that makes no tables.
func TestCheck(t *testing.T) {
	t.Parallel()
	uri := pgtest.Database(t)
	path := filepath.Join(t.TempDir(), "shop.ini")
	for _, tt := range []struct{ uri, want string }{
		{uri, path + ": OK\n"},
		{
			"memory://shop", path + `:6: [app:shop] database = "memory://shop": ` +
				`storage/postgres: memory://shop is no PostgreSQL database,` +
				" which the app's own tables need: write postgres://host/database\n",
		},
	} {
		if err := os.WriteFile(path, onDatabase(t, tt.uri), 0o600); err != nil {
			t.Fatal(err)
		}
		var got strings.Builder
		serve.Run(t.Context(), []string{"check", path}, serve.Stdio{Out: &got, Err: &got}, register)
		// there is a warning about the secret, too
		if !strings.HasSuffix("\n"+got.String(), "\n"+tt.want) {
			t.Errorf("%s: got %s, want %s", tt.uri, got.String(), tt.want)
		}
	}
	if n := number(t, connect(t, uri),
		`SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`); n != 0 {
		t.Errorf("there are %d tables, want none", n)
	}
}
