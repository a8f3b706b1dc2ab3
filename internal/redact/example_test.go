package redact_test

import (
	"errors"
	"fmt"

	"github.com/pasteline/pasteline/internal/redact"
)

func Example() {
	uri := "postgres://site:s3cr3t%40home@db.example.org/site"
	fmt.Println(redact.Value("zodb_uri", uri))

	var known redact.Secrets
	known.Add("zodb_uri", uri)
	err := errors.New(`can't parse password "s3cr3t@home"`) // as a driver may say it
	fmt.Println(known.Hide(err.Error()))
	// Output:
	// postgres://***@db.example.org/site
	// can't parse password "***"
}
