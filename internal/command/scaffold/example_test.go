package scaffold_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/pasteline/pasteline/internal/command/scaffold"
)

func Example() {
	parent, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(parent)
	files, err := scaffold.New(scaffold.Config{Dir: filepath.Join(parent, "guestbook"), Version: "v1.2.0"})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, file := range files {
		fmt.Println(filepath.Base(file))
	}
	// Output:
	// .gitignore
	// README.md
	// app.go
	// development.ini
	// filter.go
	// go.mod
	// main.go
	// production.ini
	// site_test.go
	// site.css
	// home.html
	// layout.html
}
