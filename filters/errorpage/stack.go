package errorpage

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// A frame is a call on a stack.
type frame struct {
	Function string       `json:"function"`
	File     string       `json:"file"`
	Line     int          `json:"line"`
	Own      bool         `json:"own"` // of the program, rather than of a library
	Source   []sourceLine `json:"source,omitempty"`
}

// A sourceLine is a line of a source file.
type sourceLine struct {
	Number  int    `json:"number"`
	Text    string `json:"text"`
	Current bool   `json:"current,omitempty"`
}

// The limits of the shown part of a stack.
const (
	mostFrames   = 60
	sourceAround = 5       // lines of source before and after the current one
	mostSource   = 2 << 20 // bytes of a source file
)

// parseStack returns the calls of a stack in the form of [debug.Stack], the innermost first, from
// the function that panicked on.
func parseStack(stack []byte) []frame {
	var frames []frame
	lines := bytes.Split(stack, []byte("\n"))
	for i := 1; i+1 < len(lines); i += 2 { // the first line names the goroutine
		function, place := string(lines[i]), strings.TrimSpace(string(lines[i+1]))
		file, line, ok := cutPlace(place)
		if !ok || strings.HasPrefix(function, "created by ") {
			break
		}
		if open := strings.LastIndex(function, "("); open > 0 { // without the arguments
			function = function[:open]
		}
		if function == "panic" { // the frames above it are of the recovery
			frames = frames[:0]
			continue
		}
		frames = append(frames, frame{Function: function, File: file, Line: line})
	}
	for len(frames) > 0 && strings.HasPrefix(frames[0].Function, "runtime.") {
		frames = frames[1:] // that has found the fault, such as runtime.panicmem
	}
	if len(frames) > mostFrames {
		frames = frames[:mostFrames]
	}
	for i := range frames {
		frames[i].complete()
	}
	return frames
}

// cutPlace splits "/path/file.go:12 +0x1d".
func cutPlace(place string) (file string, line int, ok bool) {
	place, _, _ = strings.Cut(place, " +0x")
	colon := strings.LastIndexByte(place, ':')
	if colon < 0 {
		return "", 0, false
	}
	line, err := strconv.Atoi(place[colon+1:])
	return place[:colon], line, err == nil
}

// frameOf returns the place at which a function is written.
func frameOf(function any) (frame, bool) {
	v := reflect.ValueOf(function)
	if v.Kind() != reflect.Func || v.IsNil() {
		return frame{}, false
	}
	f := runtime.FuncForPC(v.Pointer())
	if f == nil {
		return frame{}, false
	}
	name := strings.TrimSuffix(f.Name(), "-fm") // a method value
	file, line := f.FileLine(f.Entry())
	if strings.HasPrefix(file, "<") { // a method value has no place of its own
		file, line = "", 0
	}
	made := frame{Function: name, File: file, Line: line}
	made.complete()
	return made, true
}

// complete sets Own and Source.
func (f *frame) complete() {
	f.Own = isOwn(f.Function, f.File)
	if f.Own {
		f.Source = sourceOf(f.File, f.Line)
	}
}

// mainModule returns the path of the program's module.
var mainModule = sync.OnceValue(func() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Path
	}
	return ""
})

// libraries are the folders of Pasteline whose calls are between a server and a handler.
var libraries = []string{
	"/filters/", "/handler/", "/internal/", "/observe/", "/pipeline/", "/server/", "/serve/",
}

// pasteline returns the folder of Pasteline's source, as it is in the names of files on a stack.
var pasteline = sync.OnceValue(func() string {
	_, file, _, _ := runtime.Caller(0)
	return strings.TrimSuffix(file, "/filters/errorpage/stack.go")
})

// isOwn reports whether a function is one of the program. The name of a function that was inlined is
// that of its caller, but its file is its own.
func isOwn(function, file string) bool {
	if below, ok := strings.CutPrefix(file, pasteline()); ok && !strings.HasSuffix(file, "_test.go") {
		if slices.ContainsFunc(libraries, func(l string) bool { return strings.HasPrefix(below, l) }) {
			return false
		}
	}
	module := mainModule()
	return strings.HasPrefix(function, "main.") || module != "" && strings.HasPrefix(function, module) ||
		strings.HasSuffix(file, "_test.go")
}

// sourceOf returns the lines around a line of a source file, or nil if it can't be read.
func sourceOf(name string, line int) []sourceLine {
	file, err := os.Open(locate(name))
	if err != nil {
		return nil
	}
	defer file.Close() //nolint:errcheck // it is only read
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > mostSource {
		return nil
	}
	text := make([]byte, mostSource)
	n, err := file.Read(text)
	if err != nil {
		return nil
	}
	var lines []sourceLine
	number := 0
	for source := range strings.Lines(string(text[:n])) {
		number++
		if number > line+sourceAround {
			break
		}
		if number >= line-sourceAround {
			source = strings.ReplaceAll(strings.TrimRight(source, "\r\n"), "\t", "    ")
			source = short(source, 200)
			lines = append(lines, sourceLine{number, source, number == line})
		}
	}
	return lines
}

// locate returns the path of a source file of the program. In a program that was built with
// -trimpath the path of the module is in place of that of its folder, which is then the folder with
// a go.mod above the current one.
func locate(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	below, ok := strings.CutPrefix(name, mainModule()+"/")
	if !ok {
		return name
	}
	dir, err := os.Getwd()
	if err != nil {
		return name
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, filepath.FromSlash(below))
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return name
		}
		dir = parent
	}
}
