package occ_test

import (
	"fmt"

	"github.com/pasteline/pasteline/storage/engine"
	"github.com/pasteline/pasteline/storage/internal/occ"
)

func Example() {
	h := occ.New(7) // the engine's last commit so far
	snapshot := h.Open()

	// Another transaction commits.
	h.Commit(8, &engine.Changes{Writes: []engine.Write{{Bucket: "b", Key: "hot"}}})

	for _, key := range []string{"cold", "hot"} {
		c := &engine.Changes{Reads: []engine.ReadKey{{Bucket: "b", Key: key}}}
		fmt.Println(key, "changed:", h.Validate(c, 7) != nil)
	}
	h.Close(snapshot)
	// Output:
	// cold changed: false
	// hot changed: true
}
