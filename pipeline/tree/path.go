package tree

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// absolutePath is Python's os.path.abspath: exactly two leading slashes are kept.
func absolutePath(path string) (string, error) {
	full, err := filepath.Abs(path)
	if strings.HasPrefix(path, "//") && !strings.HasPrefix(path, "///") &&
		!strings.HasPrefix(full, "//") {
		full = "/" + full
	}
	return full, err
}

// directoryOf is Python's os.path.dirname for a result of absolutePath.
func directoryOf(full string) string {
	dir := filepath.Dir(full)
	if strings.HasPrefix(full, "//") && !strings.HasPrefix(dir, "//") {
		dir = "/" + dir
	}
	return dir
}

// readFault returns the error for a file that can't be read. The error names the file if it is
// reported at another place.
func readFault(err error, name string, elsewhere bool) error {
	if errors.Is(err, os.ErrNotExist) {
		if !elsewhere {
			name = ""
		}
		return noFileError(name)
	}
	if path, ok := errors.AsType[*os.PathError](err); ok {
		err = path.Err // operation and path are in the message already
	}
	switch {
	case errors.Is(err, os.ErrPermission):
		err = fmt.Errorf("%w: the user that runs this must be allowed to read it", err)
	case errors.Is(err, syscall.EISDIR):
		err = fmt.Errorf("%w: name a file in it", err)
	}
	if elsewhere {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return err
}

// noFileError is an os.ErrNotExist with our wording.
type noFileError string

func (e noFileError) Error() string {
	if e == "" {
		return "there is no such file"
	}
	return fmt.Sprintf("there is no file %s", string(e))
}

func (noFileError) Is(target error) bool { return target == os.ErrNotExist }

// unquote decodes percent-encoded bytes and leaves other percent signs alone, as Python's urllib
// does.
func unquote(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if high, low := hexValue(s[i+1]), hexValue(s[i+2]); high < 16 && low < 16 {
				b = append(b, high<<4|low)
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}

func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
