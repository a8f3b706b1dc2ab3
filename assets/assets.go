// Package assets lets an app show changes of its templates and static files at once in development.
//
//	//go:embed templates static
//	var embedded embed.FS
//
//	func newApp(b *pipeline.Build, s settings) (http.Handler, error) {
//		files := assets.Files(embedded, b.Debug())
//		pages, err := assets.ParseTemplates(files, nil, "templates/*.html")
//		…
//		mux.Handle("GET /static/", http.FileServerFS(files))
//		…
//		return pages.Execute(w, "home.html", data)
//
// In production the files are those that were embedded when the program was built, and templates
// are parsed once. With debug = true in [DEFAULT] of the .ini file they are read from the source
// folder, and parsed again for each page. Nothing needs a restart then.
//
// # Caveats
//
// The source folder is that of the file that calls [Files], as the compiler has seen it. If it is
// not on this machine, or the program was built with -trimpath, the embedded files are used.
package assets

import (
	"bytes"
	"html/template"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// A live file system is a folder whose files may change.
type live struct{ fs.FS }

// Files returns the embedded files, or with debug those of the folder of the Go file that calls it,
// if that folder has all of the embedded ones' top level. The result is safe for concurrent use.
func Files(embedded fs.FS, debug bool) fs.FS {
	if !debug {
		return embedded
	}
	_, source, _, ok := runtime.Caller(1)
	folder := filepath.Dir(source)
	if !ok || !filepath.IsAbs(source) || !has(folder, embedded) {
		return embedded
	}
	return live{os.DirFS(folder)}
}

// Folder returns the files of a folder, so that templates parsed from them are parsed again for each
// page. It is for a folder that a setting names; see [Files] for the source folder.
func Folder(name string) fs.FS { return live{os.DirFS(name)} }

// has reports whether a folder has the top level of the embedded files.
func has(folder string, embedded fs.FS) bool {
	entries, err := fs.ReadDir(embedded, ".")
	if err != nil {
		return false
	}
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(folder, e.Name()))
		if err != nil || info.IsDir() != e.IsDir() {
			return false
		}
	}
	return true
}

// Templates are parsed templates. They are safe for concurrent use.
type Templates struct {
	parse  func() (*template.Template, error)
	parsed *template.Template // nil if they are parsed for each page
}

// ParseTemplates parses the files that match the patterns, as [template.ParseFS] does, with
// functions, which may be nil. If files is the result of [Folder], or of [Files] with debug, they
// are parsed again by each Execute. The error is that of the first parsing, so that a fault is found at the start.
func ParseTemplates(files fs.FS, functions template.FuncMap, patterns ...string) (*Templates,
	error,
) {
	t := &Templates{parse: func() (*template.Template, error) {
		return template.New("").Funcs(functions).ParseFS(files, patterns...)
	}}
	parsed, err := t.parse()
	if err != nil {
		return nil, err
	}
	if _, ok := files.(live); !ok {
		t.parsed = parsed
	}
	return t, nil
}

// Execute writes the template of a name. After an error nothing has been written, unless w fails.
func (t *Templates) Execute(w io.Writer, name string, data any) error {
	parsed := t.parsed
	if parsed == nil {
		var err error
		if parsed, err = t.parse(); err != nil {
			return err
		}
	}
	var page bytes.Buffer
	if err := parsed.ExecuteTemplate(&page, name, data); err != nil {
		return err
	}
	_, err := page.WriteTo(w)
	return err
}
