package static

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
)

// Config configures the app. DocumentRoot is required.
type Config struct {
	// DocumentRoot is the folder to serve.
	DocumentRoot string

	// CacheMaxAge is how long browsers and proxies may use a file without revalidation, rounded
	// down to whole seconds. If it is 0, no Cache-Control is sent.
	CacheMaxAge time.Duration

	// DotFiles serves also files whose names begin with a dot, and files in such folders.
	DotFiles bool
}

// Validate returns an error if CacheMaxAge is negative.
func (c Config) Validate() error {
	if c.CacheMaxAge < 0 {
		return &pipeline.Error{
			Key: "cache_max_age",
			Err: errors.New("want a number of seconds, or 0 for no Cache-Control"),
		}
	}
	return nil
}

// Register adds the app to r under "egg:pasteline#static" and the names of Paste's app.
func Register(r *pipeline.Registry) {
	const name = "egg:pasteline#static"
	pipeline.App(r, name, build)
	r.Alias("egg:Paste#static", name)
	r.Alias("call:paste.urlparser:make_static", name)
}

// settings declares the settings of an .ini section.
type settings struct {
	DocumentRoot string `ini:"document_root" required:"true" help:"the folder whose files are served"`
	CacheMaxAge  int64  `ini:"cache_max_age" min:"0" help:"seconds for which browsers and proxies may use a file without revalidation; if 0, no Cache-Control is sent"`
	DotFiles     bool   `ini:"dot_files" default:"false" help:"serve files and folders whose names begin with a dot, too; .well-known in the root is always served"`
}

// build is New for a section of an .ini file: a relative path begins at the folder of that file.
func build(b *pipeline.Build, s settings) (http.Handler, error) {
	const longest = math.MaxInt64 / int64(time.Second)
	c := Config{
		DocumentRoot: s.DocumentRoot,
		CacheMaxAge:  time.Duration(min(s.CacheMaxAge, longest)) * time.Second,
		DotFiles:     s.DotFiles,
	}
	here, ok := b.Global("here")
	if ok && c.DocumentRoot != "" && !filepath.IsAbs(c.DocumentRoot) {
		c.DocumentRoot = filepath.Join(here, c.DocumentRoot)
	}
	app, err := New(c)
	if err != nil {
		return nil, err
	}
	b.OnClose(app.Close)
	if ini, ok := b.Global("__file__"); ok {
		if path, err := filepath.Rel(c.DocumentRoot, ini); err == nil && filepath.IsLocal(path) {
			b.Warn("document_root",
				"this .ini file is in the folder, so every client can read it, "+
					"with its secrets: serve a separate folder, such as %(here)s/static")
		}
	}
	return app, nil
}

// New opens the folder and returns the app; the caller must close it. The error is that of
// [Config.Validate] or of opening the folder.
func New(c Config) (*App, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(c.DocumentRoot)
	switch {
	case c.DocumentRoot == "":
		err = errors.New("want a folder, such as %(here)s/static")
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("no folder %q: create it, or name an existing one", c.DocumentRoot)
	case err != nil:
		err = fmt.Errorf("folder can't be opened: %w", err)
	default:
		return &App{config: c, root: root, now: time.Now}, nil
	}
	if root != nil {
		_ = root.Close() // OpenRoot("") opens the current folder
	}
	return nil, &pipeline.Error{Key: "document_root", Err: err}
}

// An App serves the files of a folder. It is safe for concurrent use.
type App struct {
	config Config
	root   *os.Root
	now    func() time.Time
}

// Close closes the folder. Later requests are answered with 404.
func (a *App) Close() error { return a.root.Close() }

// ServeHTTP serves one file.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := fileName(r.URL.Path)
	if !ok || !a.config.DotFiles && isHidden(name) {
		notFound(w)
		return
	}
	info, err := a.root.Stat(name)
	folder := err == nil && info.IsDir()
	slash := strings.HasSuffix(r.URL.Path, "/") && !mount.Exact(r.Context())
	if folder {
		name = path.Join(name, "index.html")
		info, err = a.root.Stat(name)
	}
	if err != nil || !info.Mode().IsRegular() || slash && !folder {
		notFound(w)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, r.Method+" is not allowed for a file.", http.StatusMethodNotAllowed)
		return
	}
	if folder && !slash {
		redirect(w, r)
		return
	}
	a.send(w, r, name)
}

// send sends a regular file.
func (a *App) send(w http.ResponseWriter, r *http.Request, name string) {
	file, err := a.root.Open(name)
	if err != nil {
		notFound(w) // the file was just deleted, or this process may not read it
		return
	}
	defer func() { _ = file.Close() }() // no error matters after reading
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		notFound(w)
		return
	}
	header := w.Header()
	if age := a.config.CacheMaxAge.Truncate(time.Second); age > 0 {
		seconds := strconv.FormatInt(int64(age/time.Second), 10)
		header.Set("Cache-Control", "public, max-age="+seconds)
		expires := a.now().Add(age)
		header.Set("Expires", expires.UTC().Format(http.TimeFormat))
	}
	header.Set("ETag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	typ := mime.TypeByExtension(path.Ext(name))
	if typ == "" {
		typ = "application/octet-stream" // prevents content sniffing
	}
	header.Set("Content-Type", typ)
	header.Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, name, info.ModTime(), file)
}

// fileName converts the path of a request to a name below the root. Several slashes in a row count
// as one, and a slash at the end is ignored.
func fileName(p string) (name string, ok bool) {
	var segments []string
	for segment := range strings.SplitSeq(p, "/") {
		switch segment {
		case "":
		case ".", "..":
			return "", false
		default:
			segments = append(segments, segment)
		}
	}
	name = strings.Join(segments, "/")
	if name == "" {
		return ".", true
	}
	// Refuse characters that the operating system takes for a separator, a drive or the end of the
	// name.
	if strings.ContainsRune(name, 0) || !filepath.IsLocal(filepath.FromSlash(name)) ||
		filepath.Separator != '/' && strings.ContainsRune(name, filepath.Separator) {
		return "", false
	}
	return name, true
}

// isHidden reports whether a segment of name begins with a dot, except for a leading .well-known,
// which is public (RFC 8615).
func isHidden(name string) bool {
	if name == "." {
		return false
	}
	for segment := range strings.SplitSeq(strings.TrimPrefix(name, ".well-known/"), "/") {
		if strings.HasPrefix(segment, ".") {
			return true
		}
	}
	return false
}

// redirect redirects to the same path with a slash at the end.
func redirect(w http.ResponseWriter, r *http.Request) {
	name, _ := fileName(r.URL.Path)
	target := "/"
	if name != "." {
		// The target is built from the file's name, since a path with two leading slashes would
		// name another host.
		target = (&url.URL{Path: "/" + name + "/"}).EscapedPath()
	}
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", mount.Join(r.Context(), target))
	w.WriteHeader(http.StatusMovedPermanently)
}

func notFound(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusNotFound)
	io.WriteString(w, "Not Found\n")
}
