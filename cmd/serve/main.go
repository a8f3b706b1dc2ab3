// Command serve runs the app and the filters that an .ini file describes.
//
//	serve development.ini
//	serve help
//
// It has the tutorial's application. A program with apps and filters of its own is a copy of this file with another
// argument: see package serve.
package main

import (
	"github.com/pasteline/pasteline/apps/myapp"
	"github.com/pasteline/pasteline/serve"
)

func main() { serve.Main(myapp.Register) }
