package spill_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/pasteline/pasteline/internal/request/spill"
)

func TestBufferKeepsBytes(t *testing.T) {
	tests := []struct {
		name      string
		highWater int64
		size      int
		inFile    bool
	}{
		{"empty", 0, 0, false},
		{"small", 0, 1, false},
		{"a chunk", 0, 16 << 10, false},
		{"more than a chunk", 0, 16<<10 + 1, false},
		{"the mark", 64 << 10, 64 << 10, false},
		{"what may be borrowed", 64 << 10, 256 << 10, false},
		{"more than may be borrowed", 64 << 10, 256<<10 + 1, false}, // one chunk is always there, to write with
		{"in the file", 64 << 10, 272 << 10, true},
		{"file only", -1, 100 << 10, true},
		{"large", 64 << 10, 3<<20 + 17, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir())
			random := rand.New(rand.NewPCG(1, 2))
			want := make([]byte, tt.size)
			for i := range want {
				want[i] = byte(random.Uint32())
			}
			b := spill.Buffer{HighWater: tt.highWater}
			for rest := want; len(rest) > 0; {
				n := min(len(rest), 1+random.IntN(40<<10))
				var err error
				if random.IntN(2) == 0 {
					_, err = b.Write(rest[:n])
				} else {
					_, err = b.WriteString(string(rest[:n]))
				}
				if err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if b.Len() != int64(tt.size) {
				t.Errorf("Len() = %d, want %d", b.Len(), tt.size)
			}
			if b.InFile() != tt.inFile {
				t.Errorf("InFile() = %v, want %v", b.InFile(), tt.inFile)
			}
			for range 2 { // reading removes nothing
				var got bytes.Buffer
				if n, err := b.WriteTo(&got); err != nil || n != int64(tt.size) {
					t.Fatalf("WriteTo = %d, %v, want %d", n, err, tt.size)
				}
				if !bytes.Equal(got.Bytes(), want) {
					t.Fatal("WriteTo gave other bytes")
				}
			}
			for offset := int64(0); ; {
				p := make([]byte, 1+random.IntN(30<<10))
				n, err := b.ReadAt(p, offset)
				if !bytes.Equal(p[:n], want[offset:offset+int64(n)]) {
					t.Fatalf("ReadAt(%d) gave other bytes", offset)
				}
				offset += int64(n)
				if errors.Is(err, io.EOF) {
					if offset != int64(tt.size) {
						t.Fatalf("EOF at %d, want %d", offset, tt.size)
					}
					break
				}
				if err != nil || n == 0 {
					t.Fatalf("ReadAt(%d) = %d, %v", offset, n, err)
				}
			}
			if _, err := b.ReadAt(make([]byte, 1), -1); err == nil {
				t.Error("a negative offset is no error")
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			if b.Len() != 0 || b.InFile() {
				t.Error("not empty after Close")
			}
			left, err := os.ReadDir(os.Getenv("TMPDIR"))
			if err != nil || len(left) != 0 {
				t.Errorf("files left behind: %v, %v", left, err)
			}
		})
	}
}

// The reserve is shared by all buffers, and what was borrowed is given back.
func TestReserve(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	const mark, size = 1 << 20, 4 << 20 // a buffer borrows 3 MiB
	content := make([]byte, size)
	var buffers []*spill.Buffer
	fill := func() *spill.Buffer {
		b := &spill.Buffer{HighWater: mark}
		buffers = append(buffers, b)
		if _, err := b.Write(content); err != nil {
			t.Fatal(err)
		}
		return b
	}
	closeAll := func() {
		for _, b := range buffers {
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
		buffers = nil
	}
	large := &spill.Buffer{HighWater: mark}
	if _, err := large.Write(make([]byte, 2*size)); err != nil {
		t.Fatal(err)
	}
	defer large.Close()
	for range 2 { // what is in the file borrows nothing any more, though it is in use
		for !fill().InFile() {
		}
		if got, want := len(buffers)-1, spill.Reserve/(size-mark); got != want {
			t.Errorf("%d buffers of %d bytes borrowed before a file was used, want %d", got, size-mark, want)
		}
		b := &spill.Buffer{HighWater: mark}
		buffers = append(buffers, b)
		if _, err := b.Write(content[:mark]); err != nil {
			t.Fatal(err)
		}
		if b.InFile() {
			t.Error("the mark does not hold when the reserve is used up")
		}
		closeAll()
	}
}

// A connection is asked to send the file by itself, which the system does for a file with a limit and for nothing else.
func TestFileIsSentAsFile(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	b := spill.Buffer{HighWater: -1}
	defer b.Close()
	want := bytes.Repeat([]byte("0123456789abcdef"), 10<<10)
	if _, err := b.Write(want); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		var to connection
		if n, err := b.WriteTo(&to); err != nil || n != int64(len(want)) {
			t.Fatalf("WriteTo = %d, %v, want %d", n, err, len(want))
		}
		if !to.file {
			t.Error("not as a file with a limit")
		}
		if !bytes.Equal(to.Bytes(), want) {
			t.Error("other bytes")
		}
	}
}

type connection struct {
	bytes.Buffer
	file bool
}

func (c *connection) ReadFrom(r io.Reader) (int64, error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		_, c.file = limited.R.(*os.File)
	}
	return c.Buffer.ReadFrom(r)
}

func TestLimit(t *testing.T) {
	t.Parallel()
	for setting, want := range map[int64]int64{
		0: spill.DefaultMax, 1: 1, 5 << 30: 5 << 30, -1: math.MaxInt64 - 1, math.MinInt64: math.MaxInt64 - 1,
	} {
		if got := spill.Limit(setting); got != want {
			t.Errorf("%d: got %d, want %d", setting, got, want)
		}
	}
}

func TestFileThatWasCut(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	b := spill.Buffer{HighWater: -1}
	defer b.Close()
	if _, err := b.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := b.Cut(1000); err != nil {
		t.Fatal(err)
	}
	if n, err := b.WriteTo(io.Discard); n != 1000 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("WriteTo = %d, %v, want 1000, %v", n, err, io.ErrUnexpectedEOF)
	}
}

func TestBufferReportsUnusableDirectory(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir()+"/missing")
	b := spill.Buffer{HighWater: -1}
	defer b.Close()
	if _, err := b.Write(make([]byte, 1<<20)); err == nil {
		t.Error("no error though the temporary directory is missing")
	}
}

// InUse counts what buffers hold, in memory and in files, and nothing once they are closed.
func TestInUse(t *testing.T) {
	before := spill.InUse()
	const chunk = 16 << 10
	var small, large spill.Buffer
	small.HighWater, large.HighWater = 4*chunk, -1
	data := make([]byte, 3*chunk)
	for _, b := range []*spill.Buffer{&small, &large} {
		if _, err := b.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	got := spill.InUse()
	if memory, files := got.Memory-before.Memory, got.Files-before.Files; memory+files != 6*chunk ||
		files == 0 || memory == 0 {
		t.Errorf("got %d bytes in memory and %d in files, want %d together", memory, files, 6*chunk)
	}
	for _, b := range []*spill.Buffer{&small, &large} {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := spill.InUse(); got != before {
		t.Errorf("after closing: got %+v, want %+v", got, before)
	}
}
