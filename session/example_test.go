package session_test

import (
	"context"
	"fmt"
	"log"

	"github.com/pasteline/pasteline/session"
	"github.com/pasteline/pasteline/storage/memory"
	"github.com/pasteline/pasteline/transaction"
)

func Example() {
	db := memory.New("example")
	defer db.Close()
	sessions, err := session.NewManager(db, session.Config{})
	if err != nil {
		log.Fatal(err)
	}

	// In a request, the tm filter is who begins and commits, and the browser id is browserid's.
	visit := func(ctx context.Context) error {
		s, err := sessions.Get(ctx, "a browser id")
		if err != nil {
			return err
		}
		visits, _, err := session.Value[int](s, "visits")
		if err != nil {
			return err
		}
		fmt.Println("visits before this:", visits)
		return s.Set("visits", visits+1)
	}
	for range 2 {
		if err := transaction.Run(context.Background(), visit); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// visits before this: 0
	// visits before this: 1
}

// A log-in: the session moves to the browser's new id, with what is in it.
func ExampleManager_Carry() {
	db := memory.New("example")
	defer db.Close()
	sessions, err := session.NewManager(db, session.Config{})
	if err != nil {
		log.Fatal(err)
	}
	err = transaction.Run(context.Background(), func(ctx context.Context) error {
		s, err := sessions.Get(ctx, "old id")
		if err != nil {
			return err
		}
		if err := s.Set("cart", []string{"a book"}); err != nil {
			return err
		}
		// newID is what browserid.Renew returns.
		const newID = "new id"
		if err := sessions.Carry(ctx, "old id", newID); err != nil {
			return err
		}
		if err := s.Set("user", "ann"); err != nil {
			return err
		}
		known, err := sessions.Has(ctx, "old id")
		fmt.Println(s.ID(), known)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: new id false
}

// Messages for the next page.
func ExampleSession_Flash() {
	db := memory.New("example")
	defer db.Close()
	sessions, err := session.NewManager(db, session.Config{})
	if err != nil {
		log.Fatal(err)
	}
	err = transaction.Run(context.Background(), func(ctx context.Context) error {
		s, err := sessions.Get(ctx, "a browser id")
		if err != nil {
			return err
		}
		if err := s.Flash("your order was placed", "", true); err != nil {
			return err
		}
		messages, err := s.PopFlash("")
		fmt.Println(messages)
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output: [your order was placed]
}
