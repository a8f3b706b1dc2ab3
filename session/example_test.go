package session_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/pasteline/pasteline/filters/browserid"
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

	// In a request, the filter tm begins and commits the transaction, and browserid provides the
	// id.
	visit := func(ctx context.Context) error {
		s, err := sessions.Get(session.WithID(ctx, "a browser id"))
		if err != nil {
			return err
		}
		visits, _, err := session.Get[int](s, "visits")
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

// At log-in the browser gets a new id, and the session continues under it, in the transaction of
// the request.
func ExampleManager_Renew() {
	db := memory.New("example")
	defer db.Close()
	sessions, err := session.NewManager(db, session.Config{})
	if err != nil {
		log.Fatal(err)
	}
	identify, err := browserid.New(browserid.Config{SecretKey: "0f1e2d3c4b5a69788796a5b4c3d2e1f0"})
	if err != nil {
		log.Fatal(err)
	}
	login := func(_ http.ResponseWriter, r *http.Request) {
		// Filter tm does this for every request.
		err := transaction.Run(r.Context(), func(ctx context.Context) error {
			s, err := sessions.Get(ctx)
			if err != nil {
				return err
			}
			if err := s.Set("cart", []string{"a book"}); err != nil {
				return err
			}
			before := s.ID()
			// ann's password was correct
			if err := sessions.Renew(ctx, session.As("ann")); err != nil {
				return err
			}
			user, _, err := s.User()
			fmt.Println(user, s.ID() != before)
			return err
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	identify(http.HandlerFunc(login)).ServeHTTP(httptest.NewRecorder(),
		httptest.NewRequest(http.MethodPost, "/login", nil))
	// Output: ann true
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
		s, err := sessions.Get(session.WithID(ctx, "a browser id"))
		if err != nil {
			return err
		}
		if err := s.Flash("your order was placed", ""); err != nil {
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
