// Command shop is an app that keeps its data in SQL and the visitor's cart in the session. An order
// takes the items of the cart from the stock, inserts a row and empties the cart: all of it or
// nothing, in the one transaction of the request. Of two requests for the last pot one gets it; the
// other is run again, and finds none left.
//
//	createdb shop
//	go run ./examples/shop examples/shop/shop.ini
//	curl -b jar -c jar localhost:8080
//	curl -b jar -c jar -X POST localhost:8080/cart/pot
//	curl -b jar -c jar -X POST localhost:8080/orders
//
// The statements are in queries.go, in the form that sqlc generates, and the tables in numbered
// .sql files, which run once when the program starts. shop.ini names the database of the app and
// that of the sessions. They are the same, so they share connections and transactions.
package main

import (
	"cmp"
	"embed"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/serve"
	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage"
	"github.com/pasteline/pasteline/storage/postgres"
	"github.com/pasteline/pasteline/transaction"
)

func main() { serve.Main(register) }

func register(r *pipeline.Registry) { pipeline.App(r, "egg:shop#app", newShop) }

type settings struct {
	Database string `required:"true" help:"the data, such as postgres://localhost/shop"`
	Sessions string `help:"where sessions are; in the database if empty"`
}

type shop struct {
	db       *storage.DB
	sessions *session.Manager
}

//go:embed *.sql
var migrations embed.FS

func newShop(b *pipeline.Build, set settings) (http.Handler, error) {
	db, err := b.Storage(set.Database)
	if err != nil {
		return nil, &pipeline.Error{Key: "database", Err: err}
	}
	if err := postgres.Migrate(b.Context(), db, "shop", migrations); err != nil {
		return nil, &pipeline.Error{Key: "database", Err: err}
	}
	sessionDB, err := b.Storage(cmp.Or(set.Sessions, set.Database))
	if err != nil {
		return nil, &pipeline.Error{Key: "sessions", Err: err}
	}
	sessions, err := session.NewManager(sessionDB, session.Config{Logger: b.Logger()})
	if err != nil {
		return nil, err
	}
	b.OnClose(sessions.StartSweeper(b.Context()).Close)
	b.RequireSessions(sessions)
	s := &shop{db, sessions}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", handler.Func(s.look))
	mux.Handle("POST /cart/{product}", handler.Func(s.fill))
	mux.Handle("POST /orders", handler.Func(s.order))
	return mux, nil
}

// open returns the two halves of the request's transaction: the statements, and the session, with
// the quantities in the cart by product.
func (s *shop) open(r *http.Request) (*Queries, *session.Session, map[string]int32, error) {
	tx, err := postgres.Tx(r.Context(), s.db)
	if err != nil {
		return nil, nil, nil, err
	}
	visit, err := s.sessions.Get(r.Context())
	if err != nil {
		return nil, nil, nil, err
	}
	cart, ok, err := session.Get[map[string]int32](visit, "cart")
	if !ok {
		cart = map[string]int32{}
	}
	return New(tx), visit, cart, err
}

// look answers with the stock and the cart.
func (s *shop) look(w http.ResponseWriter, r *http.Request) error {
	q, _, cart, err := s.open(r)
	if err != nil {
		return err
	}
	products, err := q.ListProducts(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, p := range products {
		//nolint:gosec // plain text
		fmt.Fprintf(w, "%s: %d in stock, %d in the cart\n", p.Name, p.Stock, cart[p.Name])
	}
	return nil
}

// fill puts a product into the cart.
func (s *shop) fill(w http.ResponseWriter, r *http.Request) error {
	q, visit, cart, err := s.open(r)
	if err != nil {
		return err
	}
	product, err := q.GetProduct(r.Context(), r.PathValue("product"))
	if errors.Is(err, pgx.ErrNoRows) {
		return &handler.Error{Status: http.StatusNotFound, Err: err}
	}
	if err != nil {
		return err
	}
	cart[product.Name]++
	fmt.Fprintf(w, "%d in the cart\n", cart[product.Name]) //nolint:gosec // a number alone
	return visit.Set("cart", cart)
}

// order places an order for the items in the cart.
func (s *shop) order(w http.ResponseWriter, r *http.Request) error {
	ctx := r.Context()
	q, visit, cart, err := s.open(r)
	if err != nil {
		return err
	}
	if len(cart) == 0 {
		http.Error(w, "the cart is empty", http.StatusConflict)
		return nil
	}
	number, err := q.CreateOrder(ctx)
	if err != nil {
		return err
	}
	// the same order in all requests avoids deadlocks
	for _, name := range slices.Sorted(maps.Keys(cart)) {
		taken, err := q.TakeFromStock(ctx, TakeFromStockParams{Name: name, Quantity: cart[name]})
		if err != nil {
			return err
		}
		if taken == 0 {
			return refuse(w, r, name+": not so many are left")
		}
		if err := q.AddOrderLine(ctx, AddOrderLineParams{
			OrderNumber: number, Product: name,
			Quantity: cart[name],
		}); err != nil {
			return err
		}
	}
	fmt.Fprintf(w, "order %d\n", number) //nolint:gosec // a number alone
	return visit.Delete("cart")
}

// refuse answers with the reason why the order failed, and aborts the transaction.
func refuse(w http.ResponseWriter, r *http.Request, why string) error {
	t, ok := transaction.FromContext(r.Context())
	if !ok {
		return errors.New(why)
	}
	if err := t.Doom(); err != nil {
		return err
	}
	http.Error(w, why, http.StatusConflict)
	return nil
}
