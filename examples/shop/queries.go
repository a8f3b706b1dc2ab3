package main

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// DBTX is implemented by connections, pools and, here, the transaction of the request.
type DBTX interface {
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
	Query(context.Context, string, ...any) (pgx.Rows, error)
	QueryRow(context.Context, string, ...any) pgx.Row
}

// Queries are the app's statements.
type Queries struct{ db DBTX }

// New returns the queries on db.
func New(db DBTX) *Queries { return &Queries{db} }

// Product is a row of the table product.
type Product struct {
	Name  string
	Stock int32
}

const getProduct = `-- name: GetProduct :one
SELECT name, stock FROM product WHERE name = $1`

// GetProduct returns a product, or pgx.ErrNoRows.
func (q *Queries) GetProduct(ctx context.Context, name string) (Product, error) {
	var p Product
	err := q.db.QueryRow(ctx, getProduct, name).Scan(&p.Name, &p.Stock)
	return p, err
}

const listProducts = `-- name: ListProducts :many
SELECT name, stock FROM product ORDER BY name`

// ListProducts returns all products.
func (q *Queries) ListProducts(ctx context.Context) ([]Product, error) {
	rows, err := q.db.Query(ctx, listProducts)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Product])
}

const takeFromStock = `-- name: TakeFromStock :execrows
UPDATE product SET stock = stock - $2 WHERE name = $1 AND stock >= $2`

// TakeFromStockParams are those of [Queries.TakeFromStock].
type TakeFromStockParams struct {
	Name     string
	Quantity int32
}

// TakeFromStock returns 0 if the stock is too small, else 1.
func (q *Queries) TakeFromStock(ctx context.Context, arg TakeFromStockParams) (int64, error) {
	result, err := q.db.Exec(ctx, takeFromStock, arg.Name, arg.Quantity)
	return result.RowsAffected(), err
}

const createOrder = `-- name: CreateOrder :one
INSERT INTO customer_order DEFAULT VALUES RETURNING number`

// CreateOrder returns the number of a new order.
func (q *Queries) CreateOrder(ctx context.Context) (int64, error) {
	var number int64
	err := q.db.QueryRow(ctx, createOrder).Scan(&number)
	return number, err
}

const addOrderLine = `-- name: AddOrderLine :exec
INSERT INTO order_line (order_number, product, quantity) VALUES ($1, $2, $3)`

// AddOrderLineParams are those of [Queries.AddOrderLine].
type AddOrderLineParams struct {
	OrderNumber int64
	Product     string
	Quantity    int32
}

// AddOrderLine adds a product to an order.
func (q *Queries) AddOrderLine(ctx context.Context, arg AddOrderLineParams) error {
	_, err := q.db.Exec(ctx, addOrderLine, arg.OrderNumber, arg.Product, arg.Quantity)
	return err
}
