// Command site is serve with the app that is measured, as a program of a user would be.
package main

import (
	"github.com/pasteline/pasteline/bench/sites"
	"github.com/pasteline/pasteline/serve"
)

func main() { serve.Main(sites.Register) }
