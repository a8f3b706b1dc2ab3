package tree_test

import (
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/pasteline/pasteline/pipeline/tree"
)

func TestParsedFile(t *testing.T) {
	t.Parallel()
	f, err := tree.Parse("site.ini", []byte("[DEFAULT]\na = 1\n[x]\nb : 2\n   3\n\n[y]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff([]string{"x", "y"}, f.Sections()); diff != "" || f.Name() != "site.ini" {
		t.Errorf("%s: %s", f.Name(), diff)
	}
	if s := f.Settings("x"); len(s) != 1 || s[0].Key != "b" || s[0].Raw != "2\n3" ||
		s[0].Line != 4 || s[0].Section != "x" {
		t.Errorf("got %+v", s)
	}
	if s := f.Settings("nothing"); s != nil {
		t.Errorf("got %+v", s)
	}
	if want := "[DEFAULT]\na = 1\n\n[x]\nb = 2\n\t3\n\n[y]\n"; f.String() != want {
		t.Errorf("got %q, want %q", f, want)
	}
	if _, err := tree.Parse("big.ini", make([]byte, 1<<20+1)); err == nil ||
		err.Error() != "big.ini: larger than 1MB; is it an .ini file?" {
		t.Error(err)
	}
}
