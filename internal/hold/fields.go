package hold

import (
	"net/http"
	"slices"
	"sync"
)

// Fields are a header as it was at one moment. The memory is used again and again, so that to take down a header, which is due
// for every request and hardly ever asked for, costs no allocation.
type Fields struct {
	list   []field
	copies []string // of the values of all fields
}

type field struct {
	name   string
	values []string // the header's own
	start  int      // where their copies are
}

var fieldsPool = sync.Pool{New: func() any { return new(Fields) }}

// Take takes down a header. Whoever calls it calls [Fields.Forget].
func Take(header http.Header) *Fields {
	f, ok := fieldsPool.Get().(*Fields)
	if !ok {
		panic("hold: the pool holds something else")
	}
	for name, values := range header {
		f.list = append(f.list, field{name, values, len(f.copies)})
		f.copies = append(f.copies, values...)
	}
	return f
}

// Header returns a new header that is as the one taken was.
func (f *Fields) Header() http.Header {
	header := make(http.Header, len(f.list))
	copies := slices.Clone(f.copies)
	for _, field := range f.list {
		end := field.start + len(field.values)
		header[field.name] = copies[field.start:end:end]
	}
	return header
}

// values returns the values that a field had. They are the header's own unless somebody has changed those in place: nobody
// does, so this spares a copy.
func (f *Fields) values(field field) []string {
	copies := f.copies[field.start : field.start+len(field.values)]
	if slices.Equal(field.values, copies) {
		return slices.Clip(field.values)
	}
	return slices.Clone(copies)
}

// Forget ends the use of f. It lets go of the strings, and of memory that only an unusual header needed.
func (f *Fields) Forget() {
	const most = 256
	if cap(f.list) > most || cap(f.copies) > most {
		return
	}
	clear(f.list)
	clear(f.copies)
	f.list, f.copies = f.list[:0], f.copies[:0]
	fieldsPool.Put(f)
}
