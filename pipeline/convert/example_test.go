package convert_test

import (
	"fmt"

	"github.com/pasteline/pasteline/pipeline/convert"
)

func Example() {
	on, err := convert.AsBool("Yes")
	fmt.Println(on, err)
	port, err := convert.AsInt(" 6_543 ")
	fmt.Println(port, err)
	fmt.Printf("%q\n", convert.AsList("retry\n  tm app"))
	_, err = convert.AsBool("perhaps")
	fmt.Println(err)
	// Output:
	// true <nil>
	// 6543 <nil>
	// ["retry" "tm" "app"]
	// want true or false
}
