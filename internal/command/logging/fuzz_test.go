package logging_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/pasteline/pasteline/internal/command/logging"
	"github.com/pasteline/pasteline/pipeline/tree"
)

// Whatever a file says: nothing panics or hangs, every fault has a place inside the file, and no file is made.
func FuzzCheck(f *testing.F) {
	f.Add("[logging]\nlevel = debug\nlevel.a = info\nformat = json\noutput = log\n[app:a]\nuse = egg:a\n")
	f.Add("[logging]\nlevel.filter:a = info\nlevels = x\noutput = %(x)s\n")
	f.Add(pyramid)
	f.Add("[loggers]\nkeys=root,a\n[handlers]\nkeys=f\n[logger_root]\nhandlers=f\n[logger_a]\nqualname=a\n[handler_f]\nclass=FileHandler\nargs=(r'log\\'', \"a\", {'filename': sys.stdout})\nkwargs={'filename':'x'}\n")
	f.Fuzz(func(t *testing.T, text string) {
		const config = "site.ini"
		t.Chdir(t.TempDir()) // whose path has a "#", which would end that of the file
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := logging.Check(config, logging.Options{})
		if err != nil {
			faults, ok := errors.AsType[tree.Errors](err)
			if !ok {
				t.Fatalf("got a %T", err)
			}
			last := 1 + strings.Count(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
			for _, fault := range faults {
				if fault.File != config || fault.Line < 0 || fault.Line > last {
					t.Errorf("%v: line %d of %d", fault, fault.Line, last)
				}
			}
		}
		if files, _ := os.ReadDir("."); len(files) != 1 {
			t.Errorf("got %v, want only the .ini file", files)
		}
	})
}
