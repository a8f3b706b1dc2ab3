// Command site is serve with the small site that is measured: what a program of one's own would be.
package main

import (
	"github.com/pasteline/pasteline/bench/sites"
	"github.com/pasteline/pasteline/serve"
)

func main() { serve.Main(sites.Register) }
