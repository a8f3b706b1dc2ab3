package spill_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/pasteline/pasteline/internal/request/spill"
)

// fileOf writes a file, and opens it with the flags.
func fileOf(t *testing.T, content []byte, flags int) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() }) // may be closed
	return file
}

func contentOf(t *testing.T, b *spill.Buffer) []byte {
	t.Helper()
	var written bytes.Buffer
	if n, err := b.WriteTo(&written); err != nil || n != b.Len() {
		t.Errorf("wrote %d bytes of %d: %v", n, b.Len(), err)
	}
	read, err := io.ReadAll(io.NewSectionReader(whole{b}, 0, b.Len()))
	if err != nil || !bytes.Equal(read, written.Bytes()) {
		t.Errorf("read %d bytes, wrote %d: %v", len(read), written.Len(), err)
	}
	return written.Bytes()
}

// whole is an io.ReaderAt in the full sense.
type whole struct{ b *spill.Buffer }

func (w whole) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = w.b.ReadAt(p[n:], offset+int64(n))
		n += m
	}
	return n, err
}

func TestAppendFile(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("files are not opened again on this system")
	}
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing")) // so that nothing can be spooled
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	file := fileOf(t, content, os.O_RDONLY)
	if _, err := file.Seek(100, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if rest := spill.Rest(file); rest != int64(len(content)-100) {
		t.Errorf("Rest: %d", rest)
	}
	var b spill.Buffer
	if _, err := b.WriteString("before "); err != nil {
		t.Fatal(err)
	}
	if !b.AppendFile(file, 1<<19) {
		t.Fatal("the file was not appended")
	}
	if at, err := file.Seek(0, io.SeekCurrent); err != nil || at != 100+1<<19 {
		t.Errorf("the offset is %d (%v)", at, err)
	}
	if b.AppendFile(file, 1<<17) {
		t.Error("a second file was appended")
	}
	if err := errors.Join(file.Close(), os.Remove(file.Name())); err != nil {
		t.Fatal(err)
	}
	want := append([]byte("before "), content[100:100+1<<19]...)
	for range 2 {
		if got := contentOf(t, &b); !bytes.Equal(got, want) {
			t.Fatalf("got %d bytes, want %d", len(got), len(want))
		}
	}
	if _, err := b.WriteString(" after"); err != nil {
		t.Fatal(err)
	}
	if got := contentOf(t, &b); !bytes.Equal(got, append(want, " after"...)) {
		t.Errorf("with more behind it: got %d bytes, want %d", len(got), len(want)+6)
	}
	if err := b.Close(); err != nil || b.Len() != 0 {
		t.Errorf("after Close: %d bytes, %v", b.Len(), err)
	}
}

// The bytes are read if the caller could change them later, or if that takes less time.
func TestAppendFileRefuses(t *testing.T) {
	t.Parallel()
	content := make([]byte, 1<<17)
	for name, file := range map[string]*os.File{
		"open for both":      fileOf(t, content, os.O_RDWR),
		"open for appending": fileOf(t, content, os.O_RDWR|os.O_APPEND),
		"short":              fileOf(t, content[:64<<10-1], os.O_RDONLY),
	} {
		var b spill.Buffer
		if b.AppendFile(file, spill.Rest(file)) {
			t.Errorf("%s: appended", name)
		}
		if at, err := file.Seek(0, io.SeekCurrent); err != nil || at != 0 || b.Len() != 0 {
			t.Errorf("%s: the offset is %d, the length %d (%v)", name, at, b.Len(), err)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if rest := spill.Rest(r); rest != 0 {
		t.Errorf("a pipe: Rest is %d", rest)
	}
}

// A file that is truncated before it was written is an error.
func TestAppendedFileIsCut(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("files are not opened again on this system")
	}
	file := fileOf(t, make([]byte, 1<<17), os.O_RDONLY)
	for _, use := range []func(b *spill.Buffer) error{
		func(b *spill.Buffer) error { _, err := b.WriteTo(io.Discard); return err },
		func(b *spill.Buffer) error { _, err := b.WriteString("more"); return err },
		func(b *spill.Buffer) error { _, err := b.ReadAt(make([]byte, 100), 1<<17-200); return err },
	} {
		if err := os.Truncate(file.Name(), 1<<17); err != nil {
			t.Fatal(err)
		}
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		var b spill.Buffer
		if !b.AppendFile(file, 1<<17) {
			t.Fatal("the file was not appended")
		}
		if err := os.Truncate(file.Name(), 1000); err != nil {
			t.Fatal(err)
		}
		if err := use(&b); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, want ErrUnexpectedEOF", err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
