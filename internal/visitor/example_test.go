package visitor_test

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/pasteline/pasteline/internal/visitor"
	"github.com/pasteline/pasteline/transaction"
)

// A guest is a Visitor that keeps its id in a field.
type guest struct{ id string }

func (g *guest) ID() (string, bool)                        { return g.id, true }
func (g *guest) MakeID(seed [visitor.SeedSize]byte) string { return hex.EncodeToString(seed[:8]) }
func (g *guest) CanSetID() error                           { return nil }
func (g *guest) SetID(id string) error                     { g.id = id; return nil }

func Example() {
	g := &guest{id: "old"}
	c := &visitor.Context{Context: context.Background(), Visitor: g}
	ctx, t := transaction.Begin(c)
	if err := c.Renew(t, "new"); err != nil {
		fmt.Println(err)
	}
	id, _ := visitor.ID(ctx)
	fmt.Println("inside:", id, "outside:", g.id)
	if err := t.Commit(ctx); err != nil {
		fmt.Println(err)
	}
	fmt.Println("after the commit:", g.id)
	// Output:
	// inside: new outside: old
	// after the commit: new
}
