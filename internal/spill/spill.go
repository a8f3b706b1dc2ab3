// Package spill keeps bytes: up to a high-water mark in memory, the rest in a temporary file.
//
// It is what the held response and the replayed request body have in common. The zero [Buffer] is ready to use; whoever
// made it calls [Buffer.Close].
//
// # Memory
//
// A buffer always has as much memory as its mark says. Beyond it, up to four times the mark, it may borrow from a [Reserve] that
// all buffers of the process share, for as long as there is some left; what turns out to need a file gives it back. So a large body
// now and then is kept at the speed of memory (5 MB in 0.5 ms of CPU time; with 3 MB of them in a file it was 2.8 ms), and a crowd of them has no
// more memory than the marks say, and the reserve once. The reserve is small because freed chunks stay resident until the pool drops
// them: with 16 MiB, four clients with 64 MB each took 75 MB instead of 46.
//
// # Caveats
//
// Memory comes from a pool and goes back to it with Close, so a Buffer must not be used afterwards. The file has no name
// (on systems that allow that), so that a killed process leaves nothing behind.
package spill

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
)

// DefaultHighWater is how many bytes are kept in memory unless told otherwise (repoze.retry's highwater).
const DefaultHighWater = 2 << 20

// Reserve is how many bytes all buffers together may have in memory beyond their marks.
const Reserve = 4 << 20

// beyond is how many times its mark a buffer may have in memory: nobody shall borrow the whole reserve alone.
const beyond = 4

// borrowed is how much of the reserve is in use.
var borrowed atomic.Int64

// chunkSize is the unit of memory. All chunks are of one size, so that large bodies need neither copying while they grow
// nor large pieces in the pool.
const chunkSize = 16 << 10

type chunk [chunkSize]byte

var chunks = sync.Pool{New: func() any { return new(chunk) }}

func newChunk() *chunk {
	c, ok := chunks.Get().(*chunk)
	if !ok {
		panic("spill: the pool holds something else")
	}
	return c
}

// A Buffer keeps the bytes written to it. It is not safe for concurrent use.
type Buffer struct {
	// HighWater is how many bytes are kept in memory even if the [Reserve] is used up, roughly: it is rounded up to whole
	// chunks, and one more is used for writing to the file. Zero means [DefaultHighWater]; with a negative number all but one
	// chunk goes to the file.
	HighWater int64

	// The bytes are, in this order: the stored ones, and the tail.
	stored *stored // nil until a chunk is full: most bodies are smaller, and take 40 bytes less
	tail   *chunk
	filled int32 // bytes in tail
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

// Len returns how many bytes there are.
func (b *Buffer) Len() int64 {
	if b.stored == nil {
		return int64(b.filled)
	}
	return b.stored.inMemory() + b.stored.filed + int64(b.filled)
}

// Write appends p. An error is one of the temporary file (a full disk); then the Buffer's content is undefined.
func (b *Buffer) Write(p []byte) (int, error) {
	return write(b, p)
}

// WriteString appends s.
func (b *Buffer) WriteString(s string) (int, error) {
	return write(b, s)
}

func write[T string | []byte](b *Buffer, p T) (int, error) {
	written := 0
	for len(p) > 0 {
		if b.tail == nil {
			b.tail = newChunk()
		}
		n := copy(b.tail[b.filled:], p)
		b.filled += int32(n) //nolint:gosec // it is at most a chunk
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

// ReadFrom appends what r has, up to its end, and reads it straight into the Buffer's memory: while r is waited for, that is a chunk.
func (b *Buffer) ReadFrom(r io.Reader) (int64, error) {
	var total int64
	for empty := 0; ; empty++ {
		if b.tail == nil {
			b.tail = newChunk()
		}
		n, err := r.Read(b.tail[b.filled:])
		b.filled += int32(n) //nolint:gosec // it is at most a chunk
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

// maxEmptyReads is how often in a row a reader may return nothing, and no error.
const maxEmptyReads = 100

// store puts the full tail where it belongs.
func (b *Buffer) store() error {
	if b.stored == nil {
		b.stored = new(stored)
	}
	s := b.stored
	if s.file == nil && s.room(b.HighWater) {
		s.memory = append(s.memory, b.tail)
		b.tail, b.filled = nil, 0
		return nil
	}
	if s.file == nil {
		if err := s.spill(); err != nil {
			return err
		}
	}
	err := s.appendFile(b.tail)
	b.filled = 0
	return err
}

// spill begins the file, with what is in borrowed memory: whoever needs a file shall not keep others from the reserve.
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
	borrowed.Add(-s.borrowed)
	s.borrowed = 0
	return nil
}

// appendFile appends a full chunk to the file.
func (s *stored) appendFile(c *chunk) error {
	n, err := s.file.WriteAt(c[:], s.filed)
	s.filed += int64(n)
	return err
}

// room reports whether one more chunk may stay in memory, and borrows it if need be.
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

// ReadAt reads from offset on, as [io.ReaderAt], except that it may return fewer bytes than there are room for:
// those that lie together.
func (b *Buffer) ReadAt(p []byte, offset int64) (int, error) {
	before := b.Len() - int64(b.filled) // the tail
	switch {
	case offset < 0:
		return 0, errors.New("spill: negative offset")
	case offset < before:
		return b.stored.readAt(p, offset)
	case offset < b.Len():
		return copy(p, b.tail[offset-before:b.filled]), nil
	default:
		return 0, io.EOF
	}
}

func (s *stored) readAt(p []byte, offset int64) (int, error) {
	if offset < s.inMemory() {
		return copy(p, s.memory[offset/chunkSize][offset%chunkSize:]), nil
	}
	offset -= s.inMemory()
	n, err := s.file.ReadAt(p[:min(int64(len(p)), s.filed-offset)], offset)
	if errors.Is(err, io.EOF) { // the file is shorter than what was written to it
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
	if b.filled == 0 {
		return total, nil
	}
	n, err := w.Write(b.tail[:b.filled])
	return total + int64(n), err
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
	n, err := s.sendFile(w)
	return total + n, err
}

// sendFile writes what is in the file to w. It hands it over as a file with a limit, since that is what the system sends to a connection by
// itself: twelve responses of 64 MB took 0.95 s of processor time instead of 1.2, and left no garbage where half of what was sent had
// been, so that with four clients the server needed 33 MB instead of 65.
func (s *stored) sendFile(w io.Writer) (int64, error) {
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	buffer := newChunk()
	defer chunks.Put(buffer)
	n, err := io.CopyBuffer(w, &io.LimitedReader{R: s.file, N: s.filed}, buffer[:])
	if err == nil && n < s.filed { // the file is shorter than what was written to it
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// Close gives back the memory and the file. The Buffer is empty then. Closing again does nothing.
func (b *Buffer) Close() error {
	if b.tail != nil {
		chunks.Put(b.tail)
	}
	s := b.stored
	b.stored, b.tail, b.filled = nil, nil, 0
	if s == nil {
		return nil
	}
	return s.close()
}

func (s *stored) close() error {
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
