package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync/atomic"

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

	idSize = 8 // of an element of the list of free pages

	branchPage   = 1
	leafPage     = 2
	freeListPage = 16
	bucketFlag   = 1 // of a leaf's element
)

// checkPages walks the whole tree that tx shows, and reads the list of free pages if the file has
// one. It returns an error if they are not consistent: a reference to a page that does not exist, a
// page that is used twice, or used and free, a key out of order. It reads the file and not the
// memory map: bbolt walks the tree at opening, too, but on a goroutine of its own, where a fault
// ends the process. A stop that becomes true ends the walk with errStopped; it may be nil.
func checkPages(file io.ReaderAt, db *bbolt.DB, tx *bbolt.Tx, stop *atomic.Bool) error {
	size := int64(db.Info().PageSize)
	c := treeCheck{file: file, pageSize: size, seen: make([]bool, tx.Size()/size), stop: stop}
	if err := c.page(uint64(tx.Cursor().Bucket().Root()), nil, nil, 0); err != nil {
		return err
	}
	list, err := freeList(file, size, txID(tx))
	if err != nil {
		return err
	}
	if list != noFreeList {
		if err := c.free(list); err != nil {
			return err
		}
	}
	if c.deepest > 1 { // the file may be another program's, or the bucket flag is damaged
		return fmt.Errorf("%w: it has buckets within buckets", storage.ErrDamaged)
	}
	return nil
}

// errStopped is returned by a check that was stopped before its end.
var errStopped = errors.New("the check of the pages was stopped")

// noFreeList stands for the page of the list of free pages, in a meta page, if there is none.
const noFreeList = math.MaxUint64

// freeList returns the page of the list of free pages that the meta page of a transaction names.
func freeList(file io.ReaderAt, pageSize int64, tx uint64) (page uint64, err error) {
	var meta [metaSize]byte
	id := tx % 2
	if _, err := file.ReadAt(meta[:], int64(id)*pageSize); err != nil {
		return 0, damaged(id, "%w", err)
	}
	if got := binary.NativeEndian.Uint64(meta[txAt:]); got != tx {
		return 0, damaged(id, "it is of transaction %d instead of %d", got, tx)
	}
	return binary.NativeEndian.Uint64(meta[freeListAt:]), nil
}

// A treeCheck is one walk through a tree.
type treeCheck struct {
	file     io.ReaderAt
	pageSize int64
	seen     []bool // by page number; pages beyond are not in use
	deepest  int
	buffers  [][]byte // free, for reuse
	stop     *atomic.Bool
}

// begin reads the header of the page id, and marks the page and those that continue it as seen.
func (c *treeCheck) begin(id uint64) (b block, header []byte, err error) {
	if c.stop != nil && c.stop.Load() {
		return b, nil, errStopped
	}
	if id < 2 || id >= uint64(len(c.seen)) {
		return b, nil, damaged(id, "it is not one of the file's %d", len(c.seen))
	}
	at := int64(id) * c.pageSize //nolint:gosec // checked
	b = block{c: c, page: id, at: at, size: c.pageSize}
	if header, err = b.bytes(0, headerSize); err != nil {
		return b, nil, err
	}
	overflow := uint64(binary.NativeEndian.Uint32(header[12:]))
	if got := binary.NativeEndian.Uint64(header); got != id || overflow >= uint64(len(c.seen))-id {
		return b, nil, damaged(id, "its header says that it is number %d, with %d more pages",
			got, overflow)
	}
	for i := id; i <= id+overflow; i++ {
		if c.seen[i] {
			return b, nil, damaged(i, "it is used twice")
		}
		c.seen[i] = true
	}
	b.size += int64(overflow) * c.pageSize //nolint:gosec // checked
	return b, header, nil
}

// page checks the page id and all below it. Its keys must lie between from (inclusive) and to
// (exclusive; nil: unbounded); depth is that of the bucket that it belongs to, 0 for the tree of
// buckets.
func (c *treeCheck) page(id uint64, from, to []byte, depth int) error {
	b, header, err := c.begin(id)
	defer b.done()
	if err != nil {
		return err
	}
	return b.node(header, from, to, depth)
}

// free checks the list of free pages, which begins on the page id: each is one of the file's, and
// none is in use. It is called after the tree was walked.
func (c *treeCheck) free(id uint64) error {
	b, header, err := c.begin(id)
	defer b.done()
	if err != nil {
		return err
	}
	if kind := binary.NativeEndian.Uint16(header[8:]); kind != freeListPage {
		return damaged(id, "it is of kind %d instead of %d", kind, freeListPage)
	}
	from, count := int64(headerSize), int64(binary.NativeEndian.Uint16(header[10:]))
	if count == math.MaxUint16 { // more than fit there
		first, err := b.bytes(from, idSize)
		if err != nil {
			return err
		}
		from += idSize
		count = int64(min(binary.NativeEndian.Uint64(first), uint64(len(c.seen)))) //nolint:gosec // so
	}
	ids, err := b.bytes(from, count*idSize)
	if err != nil {
		return err
	}
	for i := range count {
		free := binary.NativeEndian.Uint64(ids[i*idSize:])
		if free < 2 || free >= uint64(len(c.seen)) || c.seen[free] {
			return damaged(id, "it lists page %d as free, which is used or does not exist", free)
		}
		c.seen[free] = true
	}
	return nil
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
