// Package spill buffers bytes: up to a high-water mark in memory, the rest in a temporary file.
//
// It is used for the buffered response and the replayed request body. The zero [Buffer] is ready to
// use; its owner must call [Buffer.Close].
//
// # Memory
//
// A buffer may always use as much memory as its mark says. Beyond that, up to four times the mark,
// it may borrow from a [Reserve] that all buffers of the process share, while some is left; a
// buffer that needs a file gives its share back. An occasional large body is therefore kept in
// memory, and many at once use no more than their marks and the reserve. The reserve is small
// because freed chunks stay resident until the pool drops them.
//
// # Files
//
// [Buffer.AppendFile] appends a part of a file without reading it: the Buffer refers to the file
// until Close. So a large file is neither kept in memory nor copied to a temporary file.
//
// # Caveats
//
// Memory comes from a pool and returns to it with Close, so a Buffer must not be used afterwards.
// The file has no name (on systems that allow that), so that a killed process leaves nothing
// behind.
package spill

import (
	"errors"
	"io"
	"math"
	"os"
	"sync"
	"sync/atomic"
)

// DefaultHighWater is the default number of bytes kept in memory (repoze.retry's highwater).
const DefaultHighWater = 2 << 20

// DefaultMax is the default limit, in bytes, of a buffered body.
const DefaultMax = 1 << 30

// Limit returns the limit in bytes that a setting stands for: DefaultMax for zero, and none, a
// number that no size reaches, for a negative one.
func Limit(setting int64) int64 {
	switch {
	case setting == 0:
		return DefaultMax
	case setting < 0:
		return math.MaxInt64 - 1 // readers ask for one byte more
	}
	return setting
}

// Reserve is how many bytes all buffers together may keep in memory beyond their marks.
const Reserve = 4 << 20

// beyond is how many times its mark a buffer may keep in memory, so that one buffer can't borrow
// the whole reserve.
const beyond = 4

// borrowed is how much of the reserve is in use. The other two are how many bytes all buffers have
// in memory and in files, apart from their tails.
var borrowed, inMemory, inFiles atomic.Int64

// Usage is how many bytes all buffers of the process hold.
type Usage struct {
	// Memory counts full chunks of 16 KB: buffers with fewer bytes than that are not counted.
	Memory int64
	// Files counts the bytes in temporary files.
	Files int64
	// Borrowed is how much of the [Reserve] is in use.
	Borrowed int64
}

// InUse returns how many bytes all buffers hold now.
func InUse() Usage {
	return Usage{Memory: inMemory.Load(), Files: inFiles.Load(), Borrowed: borrowed.Load()}
}

// chunkSize is the unit of memory. All chunks have the same size, so that growing needs no copy and
// the pool holds no large pieces.
const chunkSize = 16 << 10

type chunk [chunkSize]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

func newChunk() *chunk {
	c, ok := chunks.Get().(*chunk)
	if !ok {
		panic("spill: the pool holds another type")
	}
	return c
}

// A Buffer keeps the bytes written to it. It is not safe for concurrent use.
type Buffer struct {
	// HighWater is how many bytes are kept in memory even if the [Reserve] is used up,
	// approximately: it is rounded up to whole chunks, and one more is used for writing to the
	// file. Zero means [DefaultHighWater]; with a negative number all but one chunk goes to the
	// file.
	HighWater int64

	// Spooled, if not nil, is called with the number of bytes so far when a file becomes necessary.
	Spooled func(bytes int64)

	// The contents are the stored bytes, followed by the tail, followed by those of the lent file.
	stored *stored // nil until a chunk is full, as most bodies are smaller
	tail   *chunk
	filled int   // bytes in tail
	lent   *lent // or nil
}

// stored are the full chunks: first those in memory, then the file.
type stored struct {
	memory   []*chunk
	borrowed int64 // of the bytes in memory
	file     *os.File
	filed    int64
	named    bool // the file could not be removed while open
}

func (s *stored) inMemory() int64 { return int64(len(s.memory)) * chunkSize }

// Len returns the number of bytes in the buffer.
func (b *Buffer) Len() int64 {
	n := b.own()
	if b.lent != nil {
		n += b.lent.size
	}
	return n
}

// own returns the number of bytes before those of the lent file.
func (b *Buffer) own() int64 {
	if b.stored == nil {
		return int64(b.filled)
	}
	return b.stored.inMemory() + b.stored.filed + int64(b.filled)
}

// Write appends p. An error is that of the temporary file (a full disk); the Buffer's content is
// undefined then.
func (b *Buffer) Write(p []byte) (int, error) {
	return write(b, p)
}

// WriteString appends s.
func (b *Buffer) WriteString(s string) (int, error) {
	return write(b, s)
}

func write[T string | []byte](b *Buffer, p T) (int, error) {
	if err := b.absorb(); err != nil {
		return 0, err
	}
	written := 0
	for len(p) > 0 {
		if b.tail == nil {
			b.tail = newChunk()
		}
		n := copy(b.tail[b.filled:], p)
		b.filled += n
		written += n
		p = p[n:]
		if b.filled == chunkSize {
			if err := b.store(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

// ReadFrom appends the bytes of r up to its end, and reads them directly into the Buffer's memory:
// while it waits for r, it uses one chunk.
func (b *Buffer) ReadFrom(r io.Reader) (int64, error) {
	if err := b.absorb(); err != nil {
		return 0, err
	}
	var total int64
	for empty := 0; ; empty++ {
		if b.tail == nil {
			b.tail = newChunk()
		}
		n, err := r.Read(b.tail[b.filled:])
		b.filled += n
		total += int64(n)
		if b.filled == chunkSize {
			if err := b.store(); err != nil {
				return total, err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return total, nil
		case err != nil:
			return total, err
		case n > 0:
			empty = 0
		case empty == maxEmptyReads:
			return total, io.ErrNoProgress
		}
	}
}

// maxEmptyReads is how often in a row a reader may return neither bytes nor an error.
const maxEmptyReads = 100

// store moves the full tail to memory or to the file.
func (b *Buffer) store() error {
	if b.stored == nil {
		b.stored = new(stored)
	}
	s := b.stored
	if s.file == nil && s.room(b.HighWater) {
		s.memory = append(s.memory, b.tail)
		inMemory.Add(chunkSize)
		b.tail, b.filled = nil, 0
		return nil
	}
	if s.file == nil {
		if err := s.spill(); err != nil {
			return err
		}
		if b.Spooled != nil {
			b.Spooled(b.Len())
		}
	}
	err := s.appendFile(b.tail)
	b.filled = 0
	return err
}

// spill creates the file and moves borrowed memory to it: a buffer with a file must not occupy the
// reserve.
func (s *stored) spill() error {
	file, err := os.CreateTemp("", "pasteline-*")
	if err != nil {
		return err
	}
	s.file = file
	s.named = os.Remove(file.Name()) != nil
	own := len(s.memory) - int(s.borrowed/chunkSize)
	for _, chunk := range s.memory[own:] {
		if err := s.appendFile(chunk); err != nil {
			return err
		}
	}
	for i, chunk := range s.memory[own:] {
		chunks.Put(chunk)
		s.memory[own+i] = nil
	}
	s.memory = s.memory[:own]
	inMemory.Add(-s.borrowed)
	borrowed.Add(-s.borrowed)
	s.borrowed = 0
	return nil
}

// appendFile appends a full chunk to the file.
func (s *stored) appendFile(c *chunk) error {
	n, err := s.file.WriteAt(c[:], s.filed)
	s.filed += int64(n)
	inFiles.Add(int64(n))
	return err
}

// room reports whether one more chunk may stay in memory, and borrows it if necessary.
func (s *stored) room(highWater int64) bool {
	if highWater == 0 {
		highWater = DefaultHighWater
	}
	switch held := s.inMemory(); {
	case held < highWater:
		return true
	case held >= beyond*highWater:
		return false
	case borrowed.Add(chunkSize) > Reserve:
		borrowed.Add(-chunkSize)
		return false
	}
	s.borrowed += chunkSize
	return true
}

// ReadAt reads from offset on, as [io.ReaderAt], except that it may return fewer bytes than len(p):
// those that are contiguous.
func (b *Buffer) ReadAt(p []byte, offset int64) (int, error) {
	own := b.own()
	before := own - int64(b.filled) // the tail
	switch {
	case offset < 0:
		return 0, errors.New("spill: negative offset")
	case offset < before:
		return b.stored.readAt(p, offset)
	case offset < own:
		return copy(p, b.tail[offset-before:b.filled]), nil
	case offset < b.Len():
		return b.lent.readAt(p, offset-own)
	default:
		return 0, io.EOF
	}
}

func (s *stored) readAt(p []byte, offset int64) (int, error) {
	if offset < s.inMemory() {
		return copy(p, s.memory[offset/chunkSize][offset%chunkSize:]), nil
	}
	offset -= s.inMemory()
	return readFileAt(s.file, p[:min(int64(len(p)), s.filed-offset)], offset)
}

// readFileAt fills p. A file that is shorter than it was is an error.
func readFileAt(file *os.File, p []byte, offset int64) (int, error) {
	n, err := file.ReadAt(p, offset)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// WriteTo writes all bytes to w, from the first. It does not remove them.
func (b *Buffer) WriteTo(w io.Writer) (int64, error) {
	var total int64
	if b.stored != nil {
		n, err := b.stored.writeTo(w)
		if err != nil {
			return n, err
		}
		total = n
	}
	if b.filled > 0 {
		n, err := w.Write(b.tail[:b.filled])
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	if b.lent == nil {
		return total, nil
	}
	n, err := sendFile(w, b.lent.file, b.lent.from, b.lent.size)
	return total + n, err
}

func (s *stored) writeTo(w io.Writer) (int64, error) {
	var total int64
	for _, chunk := range s.memory {
		n, err := w.Write(chunk[:])
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	if s.filed == 0 {
		return total, nil
	}
	n, err := sendFile(w, s.file, 0, s.filed)
	return total + n, err
}

// sendFile writes a part of a file to w. It passes the file in an io.LimitedReader, which lets the
// server use sendfile. A file that is shorter than it was is an error.
func sendFile(w io.Writer, file *os.File, from, size int64) (int64, error) {
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return 0, err
	}
	buffer := newChunk()
	defer chunks.Put(buffer)
	n, err := io.CopyBuffer(w, &io.LimitedReader{R: file, N: size}, buffer[:])
	if err == nil && n < size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close releases the memory and the file. The Buffer is empty then. Closing again does nothing.
func (b *Buffer) Close() error {
	if b.tail != nil {
		chunks.Put(b.tail)
	}
	s, l := b.stored, b.lent
	b.stored, b.tail, b.filled, b.lent = nil, nil, 0, nil
	var err error
	if s != nil {
		err = s.close()
	}
	if l != nil {
		err = errors.Join(err, l.file.Close())
	}
	return err
}

func (s *stored) close() error {
	inMemory.Add(-s.inMemory())
	inFiles.Add(-s.filed)
	for i, chunk := range s.memory {
		chunks.Put(chunk)
		s.memory[i] = nil
	}
	if s.borrowed > 0 {
		borrowed.Add(-s.borrowed)
	}
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if s.named {
		err = errors.Join(err, os.Remove(s.file.Name()))
	}
	return err
}
