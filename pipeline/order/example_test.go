package order_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/pasteline/pasteline/pipeline"
	"github.com/pasteline/pasteline/pipeline/order"
)

// A filter that counts attempts works only behind the filter that makes them.
func Example() {
	registry := pipeline.NewRegistry()
	pipeline.Filter(registry, "egg:site#count",
		func(b *pipeline.Build, _ struct{}) (func(http.Handler) http.Handler, error) {
			b.Require(order.Requirement{
				Filter: order.Retry, Place: order.InFront,
				Else: "it counts nothing; write " +
					"egg:repoze.retry#retry in front of it",
			})
			return func(next http.Handler) http.Handler { return next }, nil
		})
	pipeline.App(registry, "egg:site", func(*pipeline.Build, struct{}) (http.Handler, error) {
		return http.NotFoundHandler(), nil
	})
	const site = "[pipeline:main]\npipeline = egg:site#count egg:site\n"
	p, err := pipeline.Load(context.Background(), "site.ini", pipeline.Options{
		Registry: registry,
		ReadFile: func(string) ([]byte, error) { return []byte(site), nil },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer p.Close()
	for _, w := range p.Warnings() {
		fmt.Println(w)
	}
	// Output:
	// site.ini:2: [pipeline:main] pipeline: egg:site#count needs retry in front of it: it counts nothing; write egg:repoze.retry#retry in front of it
}
