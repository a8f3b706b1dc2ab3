package bolt

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/pasteline/pasteline/storage/engine"
)

func openURI(ctx context.Context, uri *url.URL) (engine.Engine, error) {
	o, err := parseOptions(uri.Query())
	if err != nil {
		return nil, err
	}
	if engine.IsDryRun(ctx) {
		return dryOpen(filePath(uri), o)
	}
	return openEngine(filePath(uri), o)
}

// maxPath is the longest path that Linux accepts, in bytes.
const maxPath = 4096

// canonical follows symbolic links, and normalizes the options, leaving out defaults.
func canonical(uri *url.URL) (*url.URL, error) {
	switch {
	case uri.Host != "" || uri.User != nil:
		return nil, fmt.Errorf("want three slashes and the file's absolute path, "+
			"such as bolt:///path/to/%s (in an .ini file: bolt://%%(here)s/%[1]s)",
			filepath.Base(uri.Host+uri.Path))
	case uri.Path == "" || strings.HasSuffix(uri.Path, "/") ||
		filepath.Dir(filePath(uri)) == filePath(uri):
		return nil, errors.New("want the path of a file, such as bolt:///path/to/data.db")
	case len(uri.Path) > maxPath:
		return nil, fmt.Errorf("a path of %d bytes: want at most %d", len(uri.Path), maxPath)
	}
	query, err := url.ParseQuery(uri.RawQuery)
	if err != nil {
		return nil, err
	}
	o, err := parseOptions(query)
	if err != nil {
		return nil, err
	}
	path := filepath.ToSlash(follow(filePath(uri)))
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // C:/…
	}
	return &url.URL{Scheme: "bolt", Path: path, RawQuery: o.query().Encode()}, nil
}

func filePath(uri *url.URL) string {
	path := uri.Path
	if runtime.GOOS == "windows" {
		path = strings.TrimPrefix(path, "/")
	}
	return filepath.Clean(filepath.FromSlash(path))
}

// follow resolves symbolic links, also in a path whose last elements do not exist yet.
func follow(path string) string {
	for range 40 { // links to links; Linux follows as many
		if real, err := filepath.EvalSymlinks(path); err == nil {
			return real
		}
		target, err := os.Readlink(path)
		if err != nil { // path is no link, so it does not exist
			break
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	if dir := filepath.Dir(path); dir != path {
		return filepath.Join(follow(dir), filepath.Base(path))
	}
	return path
}

func parseOptions(query url.Values) (Options, error) {
	var o Options
	for name, values := range query {
		if len(values) > 1 {
			return o, fmt.Errorf("option %q is given %d times", name, len(values))
		}
		var err error
		switch value := values[0]; name {
		case "mmap_size":
			o.MmapSize, err = parseSize(value)
		case "lock_timeout":
			o.LockTimeout, err = time.ParseDuration(value)
			if err != nil || o.LockTimeout <= 0 {
				err = errors.New("want a time above 0, such as 5s")
			}
		default:
			return o, engine.UnknownOption(name, "lock_timeout", "mmap_size")
		}
		if err != nil {
			return o, fmt.Errorf("option %s=%s: %w", name, values[0], err)
		}
	}
	return o, nil
}

func (o Options) query() url.Values {
	query := url.Values{}
	if o.MmapSize != 0 && o.MmapSize != DefaultMmapSize {
		query.Set("mmap_size", strconv.FormatInt(o.MmapSize, 10))
	}
	if o.LockTimeout != 0 && o.LockTimeout != DefaultLockTimeout {
		query.Set("lock_timeout", o.LockTimeout.String())
	}
	return query
}

var errSize = errors.New("want a size from 1MiB to 64TiB, in bytes or such as 512MiB or 64GiB")

func parseSize(text string) (int64, error) {
	number, unit := text, int64(1)
	for i, suffix := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if n, ok := strings.CutSuffix(text, suffix); ok {
			number, unit = n, 1<<(10*(i+1))
		}
	}
	const least, most = 1 << 20, 64 << 40
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 1 || n > most/unit || n*unit < least {
		return 0, errSize
	}
	return n * unit, nil
}
