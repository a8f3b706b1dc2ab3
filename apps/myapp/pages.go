package myapp

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"path/filepath"

	"github.com/go-chi/chi/v5"

	"github.com/pasteline/pasteline/assets"
	"github.com/pasteline/pasteline/handler"
	"github.com/pasteline/pasteline/internal/picture"
	"github.com/pasteline/pasteline/mount"
	"github.com/pasteline/pasteline/pipeline"
)

//go:embed templates static
var embedded embed.FS

// pages renders the templates. They are embedded in the program, or, with reload_templates, read
// from their folder for each page.
type pages struct {
	files     fs.FS
	templates *assets.Templates
}

// newPages parses the templates, so that an error in them is found when the program starts.
func newPages(b *pipeline.Build, s settings) (*pages, error) {
	p := &pages{files: assets.Files(embedded, s.ReloadTemplates)}
	if s.ReloadTemplates && s.TemplateDir != "" {
		folder := s.TemplateDir
		if here, ok := b.Global("here"); ok && !filepath.IsAbs(folder) {
			folder = filepath.Join(here, folder)
		}
		p.files = assets.Folder(folder)
		if _, err := fs.Stat(p.files, "templates/page.html"); err != nil {
			return nil, &pipeline.Error{
				Key: "template_dir", Err: errors.New("no templates/page.html below this folder"),
				Hint: "copy the folders templates and static of apps/myapp there",
			}
		}
	}
	var err error
	p.templates, err = assets.ParseTemplates(p.files, template.FuncMap{
		"asset": p.asset, "ago": ago, "words": words, "plural": plural,
		"picture": picture.HTML, "frames": picture.FramesHTML, "ms": picture.Millis,
	}, "templates/*.html")
	return p, err
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
	content, err := p.read(name)
	if err != nil {
		return "", err
	}
	return "/static/" + name + "?" + digest(content), nil
}

// read returns a file of the folder static, or the style sheet of the pictures.
func (p *pages) read(name string) ([]byte, error) {
	if name == "picture.css" {
		return picture.CSS, nil
	}
	return fs.ReadFile(p.files, "static/"+name)
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6])
}

// show writes a page. If a template fails, it returns an error and writes nothing.
func (p *pages) show(w http.ResponseWriter, status int, name string, data any) error {
	var page bytes.Buffer
	if err := p.templates.Execute(&page, name, data); err != nil {
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

// part returns a part of a page.
func (p *pages) part(name string, data any) (template.HTML, error) {
	var part bytes.Buffer
	err := p.templates.Execute(&part, name, data)
	return template.HTML(part.String()), err //nolint:gosec // the template has escaped the data
}

// contentSecurityPolicy allows the page only its own files, and no inline scripts.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; " +
	"img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// static serves a file of the folder static.
func (p *pages) static(w http.ResponseWriter, r *http.Request) error {
	name := chi.URLParam(r, "name")
	content, err := p.read(name)
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
