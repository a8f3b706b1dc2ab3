package respbuf

import (
	"net/http"
	"slices"
	"sync"
)

// Fields is a snapshot of an http.Header. Every request takes one and almost none reads it, so a
// typical header fits into the struct without allocating.
type Fields struct {
	number int
	room   [24]field // a browser sends up to 20
	large  []field   // all of them, if there are more
}

// A field nearly always has one value, which is stored beside the name instead of in a list, to
// make Take faster.
type field struct {
	name  string
	value string    // the only one
	other *[]string // the values if there is none, or more than one; else nil
}

// Take takes a snapshot of a header. The Fields must be new.
func (f *Fields) Take(header http.Header) {
	f.number = len(header)
	if f.number > len(f.room) {
		f.large = make([]field, f.number)
	}
	list := f.list()
	i := 0
	for name, values := range header {
		list[i].name = name
		if len(values) == 1 {
			list[i].value = values[0]
		} else {
			other := slices.Clone(values)
			list[i].other = &other
		}
		i++
	}
}

func (f *Fields) list() []field {
	if f.large != nil {
		return f.large
	}
	return f.room[:f.number]
}

var fieldsPool = sync.Pool{New: func() any { return new(Fields) }}

// take takes a snapshot of a header in pooled memory. The caller must call [Fields.forget].
func take(header http.Header) *Fields {
	f, ok := fieldsPool.Get().(*Fields)
	if !ok {
		panic("respbuf: the pool holds another type")
	}
	f.Take(header)
	return f
}

// forget returns f to the pool. It drops the strings, and the extra memory of an unusually large
// header.
func (f *Fields) forget() {
	clear(f.list())
	f.number, f.large = 0, nil
	fieldsPool.Put(f)
}

// Header returns a new header with the contents of the snapshot.
func (f *Fields) Header() http.Header {
	header := make(http.Header, f.number)
	for _, field := range f.list() {
		header[field.name] = field.values()
	}
	return header
}

// copyTo sets the fields of the snapshot in out; header is the header that the snapshot was taken
// of. It reports whether header still has the same names. Values that have not changed are shared,
// to avoid a copy.
func (f *Fields) copyTo(out, header http.Header) (same bool) {
	same = len(header) == f.number
	for _, field := range f.list() {
		values, ok := header[field.name]
		same = same && ok
		if !field.is(values) {
			values = field.values()
		}
		out[field.name] = slices.Clip(values)
	}
	return same
}

// values returns a new list of the field's values.
func (f field) values() []string {
	if f.other == nil {
		return []string{f.value}
	}
	return slices.Clone(*f.other)
}

// is reports whether the field has these values in the snapshot.
func (f field) is(values []string) bool {
	if f.other == nil {
		return len(values) == 1 && values[0] == f.value
	}
	return slices.Equal(values, *f.other)
}
