package bolt

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
)

// The layout of a page in bbolt's files (version 2, in the byte order of the machine): a header,
// then for each element the position of its key, and behind these the keys and values.
const (
	headerSize = 16 // id uint64, kind uint16, count uint16, overflow uint32
	// branch: pos uint32, key uint32, child uint64; leaf: flags uint32, pos uint32, key uint32,
	// value uint32
	elementSize = 16
	// value of a bucket: root uint64, sequence uint64; without a root, its only page follows
	bucketSize = 16

	branchPage = 1
	leafPage   = 2
	bucketFlag = 1 // of a leaf's element
)

// checkTree walks the whole tree that tx shows, and returns an error if it is not consistent: a
// reference to a page that does not exist, a page that is used twice, a key out of order. Otherwise
// it returns how deep buckets are nested. It reads the file and not the memory map: bbolt walks the
// tree at opening, too, but on a goroutine of its own, where a fault ends the process.
func checkTree(file io.ReaderAt, db *bbolt.DB, tx *bbolt.Tx) (depth int, err error) {
	size := int64(db.Info().PageSize)
	c := treeCheck{file: file, pageSize: size, seen: make([]bool, tx.Size()/size)}
	err = c.page(uint64(tx.Cursor().Bucket().Root()), nil, nil, 0)
	return c.deepest, err
}

// A treeCheck is one walk through a tree.
type treeCheck struct {
	file     io.ReaderAt
	pageSize int64
	seen     []bool // by page number; pages beyond are not in use
	deepest  int
	buffers  [][]byte // free, for reuse
}

// page checks the page id and all below it. Its keys must lie between from (inclusive) and to
// (exclusive; nil: unbounded); depth is that of the bucket that it belongs to, 0 for the tree of
// buckets.
func (c *treeCheck) page(id uint64, from, to []byte, depth int) error {
	if id < 2 || id >= uint64(len(c.seen)) {
		return damaged(id, "it is not one of the file's %d", len(c.seen))
	}
	at := int64(id) * c.pageSize //nolint:gosec // checked
	b := block{c: c, page: id, at: at, size: c.pageSize}
	defer b.done()
	header, err := b.bytes(0, headerSize)
	if err != nil {
		return err
	}
	overflow := uint64(binary.NativeEndian.Uint32(header[12:]))
	if got := binary.NativeEndian.Uint64(header); got != id || overflow >= uint64(len(c.seen))-id {
		return damaged(id, "its header says that it is number %d, with %d more pages",
			got, overflow)
	}
	for i := id; i <= id+overflow; i++ {
		if c.seen[i] {
			return damaged(i, "it is used twice")
		}
		c.seen[i] = true
	}
	b.size += int64(overflow) * c.pageSize //nolint:gosec // checked
	return b.node(header, from, to, depth)
}

// node checks a block that has the layout of a page.
func (b *block) node(header, from, to []byte, depth int) error {
	kind := binary.NativeEndian.Uint16(header[8:])
	count := int64(binary.NativeEndian.Uint16(header[10:]))
	elements, err := b.bytes(headerSize, count*elementSize)
	if err != nil {
		return err
	}
	switch {
	case kind == branchPage && count > 0:
		return b.branch(elements, from, to, depth)
	case kind == leafPage:
		return b.leaf(elements, from, to, depth)
	}
	return damaged(b.page, "it is of kind %d, with %d elements", kind, count)
}

func (b *block) branch(elements, from, to []byte, depth int) error {
	count := len(elements) / elementSize
	keys := make([][]byte, count+1)
	keys[count] = to
	for i := range count {
		e := elements[i*elementSize:]
		key, err := b.key(i, binary.NativeEndian.Uint32(e), binary.NativeEndian.Uint32(e[4:]))
		if err != nil {
			return err
		}
		if err := b.inOrder(i, key, from, to); err != nil {
			return err
		}
		keys[i], from = key, key
	}
	for i := range count {
		child := binary.NativeEndian.Uint64(elements[i*elementSize+8:])
		if err := b.c.page(child, keys[i], keys[i+1], depth); err != nil {
			return err
		}
	}
	return nil
}

func (b *block) leaf(elements, from, to []byte, depth int) error {
	for i := range len(elements) / elementSize {
		e := elements[i*elementSize:]
		pos, keySize := binary.NativeEndian.Uint32(e[4:]), binary.NativeEndian.Uint32(e[8:])
		key, err := b.key(i, pos, keySize)
		if err != nil {
			return err
		}
		if err := b.inOrder(i, key, from, to); err != nil {
			return err
		}
		from = key
		value := block{
			b.c, b.page, b.elementAt(i) + int64(pos) + int64(keySize),
			int64(binary.NativeEndian.Uint32(e[12:])), nil,
		}
		if value.at+value.size > b.at+b.size {
			return damaged(b.page, "the value of element %d does not lie in it", i)
		}
		if binary.NativeEndian.Uint32(e)&bucketFlag == 0 {
			continue
		}
		if err := value.bucket(depth + 1); err != nil {
			return err
		}
	}
	return nil
}

// bucket checks a block that is the value of a bucket.
func (b *block) bucket(depth int) error {
	defer b.done()
	b.c.deepest = max(b.c.deepest, depth)
	head, err := b.bytes(0, bucketSize)
	if err != nil {
		return err
	}
	if root := binary.NativeEndian.Uint64(head); root != 0 {
		return b.c.page(root, nil, nil, depth)
	}
	b.done()
	b.at, b.size = b.at+bucketSize, b.size-bucketSize
	header, err := b.bytes(0, headerSize)
	if err != nil {
		return err
	}
	return b.node(header, nil, nil, depth)
}

// inOrder checks that the ith key of a page lies between from, which is the key before it if i > 0,
// and to.
func (b *block) inOrder(i int, key, from, to []byte) error {
	order := bytes.Compare(key, from)
	if order < 0 || i > 0 && order == 0 || to != nil && bytes.Compare(key, to) >= 0 {
		return damaged(b.page, "element %d is out of order", i)
	}
	return nil
}

// A block is a stretch of the file: a page, or a part of the same form.
type block struct {
	c        *treeCheck
	page     uint64 // in which it begins, for errors
	at, size int64
	prefix   []byte // its first bytes, if they were read
}

func (b *block) elementAt(i int) int64 { return b.at + headerSize + int64(i)*elementSize }

// key returns the key of element i, whose position is relative to the element.
func (b *block) key(i int, pos, size uint32) ([]byte, error) {
	return b.bytes(b.elementAt(i)-b.at+int64(pos), int64(size))
}

// bytes returns n bytes of the block. Most of a page is keys, so its first part is read in one go;
// long values are not read.
func (b *block) bytes(from, n int64) ([]byte, error) {
	if from+n > b.size {
		return nil, damaged(b.page, "it refers to data outside of it")
	}
	if b.prefix == nil {
		b.prefix = b.c.buffer()[:min(b.size, b.c.pageSize)]
		if _, err := b.c.file.ReadAt(b.prefix, b.at); err != nil {
			return nil, damaged(b.page, "%w", err)
		}
	}
	if from+n <= int64(len(b.prefix)) {
		return b.prefix[from : from+n], nil
	}
	part := make([]byte, n)
	if _, err := b.c.file.ReadAt(part, b.at+from); err != nil {
		return nil, damaged(b.page, "%w", err)
	}
	return part, nil
}

// done frees the buffer for reuse.
func (b *block) done() {
	if b.prefix != nil {
		b.c.buffers = append(b.c.buffers, b.prefix)
		b.prefix = nil
	}
}

func (c *treeCheck) buffer() []byte {
	last := len(c.buffers) - 1
	if last < 0 {
		return make([]byte, c.pageSize)
	}
	buffer := c.buffers[last]
	c.buffers = c.buffers[:last]
	return buffer[:cap(buffer)]
}

func damaged(page uint64, format string, args ...any) error {
	return fmt.Errorf("%w: page %d: %w", storage.ErrDamaged, page, fmt.Errorf(format, args...))
}
