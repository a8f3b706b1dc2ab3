package myapp

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
)

//go:embed templates static
var embedded embed.FS

// pages renders the templates. They are embedded in the program, or, with reload_templates, read
// from their folder.
type pages struct {
	files  fs.FS
	reload bool
	parsed *template.Template // nil if reload
}

// newPages parses the templates, so that an error in them is found when the program starts.
func newPages(b *pipeline.Build, s settings) (*pages, error) {
	p := &pages{files: embedded}
	if s.ReloadTemplates {
		folder, err := templateFolder(b, s.TemplateDir)
		if err != nil {
			return nil, err
		}
		if folder != "" {
			p.files, p.reload = os.DirFS(folder), true
		}
	}
	parsed, err := p.parse()
	if err != nil {
		return nil, err
	}
	if !p.reload {
		p.parsed = parsed
	}
	return p, nil
}

// templateFolder returns the folder that contains the folders templates and static: the named one,
// or the source folder of this file. It returns "" if the source folder does not exist on this
// machine; then templates are not reloaded.
func templateFolder(b *pipeline.Build, named string) (string, error) {
	if named != "" {
		if here, ok := b.Global("here"); ok && !filepath.IsAbs(named) {
			named = filepath.Join(here, named)
		}
		if !hasTemplates(named) {
			return "", &pipeline.Error{
				Key: "template_dir", Err: errors.New("no templates/page.html below this folder"),
				Hint: "copy the folders templates and static of apps/myapp there",
			}
		}
		return named, nil
	}
	_, source, _, _ := runtime.Caller(0)
	if folder := filepath.Dir(source); filepath.IsAbs(source) && hasTemplates(folder) {
		return folder, nil
	}
	return "", nil
}

func hasTemplates(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "templates", "page.html"))
	return err == nil
}

func (p *pages) parse() (*template.Template, error) {
	functions := template.FuncMap{"asset": p.asset, "ago": ago, "words": words, "plural": plural}
	return template.New("").Funcs(functions).ParseFS(p.files, "templates/*.html")
}

// A frame holds the data that every page has.
type frame struct {
	Title string
	Root  string // the path below which the app is mounted, "" if it is the whole site
}

func newFrame(r *http.Request, title string) frame {
	return frame{title, mount.Join(r.Context(), "")}
}

// asset returns the address of a file of the folder static, below the app's root. It contains a
// hash of the file, so that caches can keep it forever.
func (p *pages) asset(name string) (string, error) {
	content, err := fs.ReadFile(p.files, "static/"+name)
	if err != nil {
		return "", err
	}
	return "/static/" + name + "?" + digest(content), nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6])
}

// show writes a page. If a template fails, it returns an error and writes nothing.
func (p *pages) show(w http.ResponseWriter, status int, name string, data any) error {
	t := p.parsed
	if p.reload {
		var err error
		if t, err = p.parse(); err != nil {
			return fmt.Errorf("reloading the templates: %w", err)
		}
	}
	var page bytes.Buffer
	if err := t.ExecuteTemplate(&page, name, data); err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", contentSecurityPolicy)
	header.Set("Referrer-Policy", "same-origin")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, err := w.Write(page.Bytes())
	return err
}

// contentSecurityPolicy allows the page only its own files, and no inline scripts.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; " +
	"img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// static serves a file of the folder static.
func (p *pages) static(w http.ResponseWriter, r *http.Request) error {
	name := chi.URLParam(r, "name")
	content, err := fs.ReadFile(p.files, "static/"+name)
	if err != nil {
		return &handler.Error{Status: http.StatusNotFound, Err: err}
	}
	header := w.Header()
	header.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	header.Set("X-Content-Type-Options", "nosniff")
	if r.URL.RawQuery == digest(content) {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	_, err = w.Write(content)
	return err
}
