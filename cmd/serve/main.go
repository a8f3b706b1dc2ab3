// Command serve runs the app and filters that an .ini file describes.
//
//	serve development.ini
//	serve help
//
// It includes the tutorial's application. A program with its own apps and filters is a copy of this
// file with another argument: see package serve.
package main

import (
	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/serve"
)

func main() { serve.Main(myapp.Register) }
