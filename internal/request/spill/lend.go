package spill

import (
	"io"
	"io/fs"
	"os"
	"syscall"
)

// lendFrom is the size in bytes from which a file is referred to: a smaller part is read in less
// time than it takes to open the file again.
const lendFrom = 64 << 10

// A lent is a part of a file of the caller.
type lent struct {
	file       *os.File // another opening of it
	from, size int64
}

func (l *lent) readAt(p []byte, offset int64) (int, error) {
	return readFileAt(l.file, p[:min(int64(len(p)), l.size-offset)], l.from+offset)
}

// A File is what AppendFile needs of an [os.File].
type File interface {
	io.ReadSeeker
	Stat() (fs.FileInfo, error)
	syscall.Conn
}

// Rest returns the number of bytes from the offset of a regular file to its end, or 0 for others.
func Rest(file File) int64 {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return 0
	}
	from, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	return max(0, info.Size()-from)
}

// AppendFile appends the next size bytes of a regular file without reading them, and moves the
// offset of file behind them. The caller may close and delete the file afterwards.
//
// It returns false if the bytes must be read instead: if there are less than 64 KiB of them; if the
// file is open for writing, so that the caller could change them; if the Buffer refers to a file
// already; or on systems that can't open a file again.
func (b *Buffer) AppendFile(file File, size int64) bool {
	if b.lent != nil || size < lendFrom {
		return false
	}
	again, err := reopen(file)
	if err != nil {
		return false
	}
	end, err := file.Seek(size, io.SeekCurrent)
	if err != nil {
		_ = again.Close() // was only opened
		return false
	}
	b.lent = &lent{again, end - size, size}
	return true
}

// absorb reads the lent file, so that more bytes can follow it.
func (b *Buffer) absorb() error {
	if b.lent == nil {
		return nil
	}
	l := b.lent
	b.lent = nil
	n, err := b.ReadFrom(io.NewSectionReader(l.file, l.from, l.size))
	if err == nil && n < l.size {
		err = io.ErrUnexpectedEOF
	}
	_ = l.file.Close() // was only read
	return err
}
