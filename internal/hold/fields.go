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
	values []string // of all fields
}

type field struct {
	name       string
	start, end int // of its values
}

var fieldsPool = sync.Pool{New: func() any { return new(Fields) }}

// Take takes down a header. Whoever calls it calls [Fields.Forget].
func Take(header http.Header) *Fields {
	f, ok := fieldsPool.Get().(*Fields)
	if !ok {
		panic("hold: the pool holds something else")
	}
	list, all := f.list, f.values
	for name, values := range header {
		start := len(all)
		all = append(all, values...)
		list = append(list, field{name, start, len(all)})
	}
	f.list, f.values = list, all
	return f
}

// Header returns a new header that is as the one taken was.
func (f *Fields) Header() http.Header {
	header := make(http.Header, len(f.list))
	values := slices.Clone(f.values)
	for _, field := range f.list {
		header[field.name] = values[field.start:field.end:field.end]
	}
	return header
}

// copyTo sets in out what was in header, which has been taken down, at that moment. It reports whether header has the same
// names still. Where it has the same values, too, as it nearly always has, they are shared, which spares a copy.
func (f *Fields) copyTo(out, header http.Header) (same bool) {
	same = len(header) == len(f.list)
	for _, field := range f.list {
		values, ok := header[field.name]
		same = same && ok
		if taken := f.of(field); !slices.Equal(values, taken) {
			values = slices.Clone(taken)
		}
		out[field.name] = slices.Clip(values)
	}
	return same
}

// of returns the values that a field had. They are not to be kept.
func (f *Fields) of(field field) []string { return f.values[field.start:field.end] }

// Forget ends the use of f. It lets go of the strings, and of memory that only an unusual header needed.
func (f *Fields) Forget() {
	const most = 256
	if cap(f.list) > most || cap(f.values) > most {
		return
	}
	clear(f.list)
	clear(f.values)
	f.list, f.values = f.list[:0], f.values[:0]
	fieldsPool.Put(f)
}
