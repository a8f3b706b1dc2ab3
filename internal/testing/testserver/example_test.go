package testserver_test

import (
	"fmt"

	"github.com/pasteline/pasteline/internal/testing/testserver"
)

func ExampleSoftware_Look() {
	software := testserver.Software{
		Name:    "Nonesuch",
		Program: "nonesuchd",
		Folders: []string{"/usr/lib/nonesuch/*/bin"},
		Package: "nonesuch-server",
	}
	_, err := software.Look()
	fmt.Println(err)
	// Output:
	// Nonesuch is not installed (no nonesuchd in PATH, /usr/lib/nonesuch/*/bin); on Debian: apt-get install nonesuch-server
}
