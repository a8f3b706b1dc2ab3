package session

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"

	"github.com/pasteline/pasteline/storage"
)

// Records are stored as follows, with all times in milliseconds since 1970. In the data bucket,
// every key consists of the ref of its session, the kind of record, and a rest:
//
//	ref 'i' key    an item: its time of writing since the creation, and its value (see value.go)
//	ref 'l'        the time of the last deletion of an item, if any
//	ref 'm'        meta record: creation and slice of first use; or the tombstone of an id
//	ref 'u' slice  the session was used in this slice; of several, the latest counts
//
// The index bucket has one empty record for every session:
//
//	slice ref      the session was last used in this slice, or later
//
// The ref of a session is a hash of its id. Hashes are short, none is a prefix of another, and they
// give no usable id to a reader of the database or the log.
const (
	kindItem    = 'i'
	kindDeleted = 'l'
	kindMeta    = 'm'
	kindUsed    = 'u'

	sliceSize = 8
)

// A meta record has one of two forms, distinguished by the first byte, which is below 128 for the
// long form:
//
//	1 creation age       two varints; age: from the start of the slice to the creation
//	128+age creation     the age in seconds, and 5 bytes, big endian: milliseconds since 2020
//
// The short form is written where it fits: until 2054, for slices of whole seconds and up to two
// minutes. It saves space in a database with many sessions. Existing long records are kept.
const (
	format          = 1
	formatTombstone = 2 // see tombstone

	short     = 1 << 7
	shortBits = 40                // of creation
	shortSize = 1 + shortBits/8   // bytes
	shortFrom = 1_577_836_800_000 // 2020
	second    = 1000
)

// A tombstone replaces the meta record when an id ends because the browser got another:
//
//	2 ended created seed      two varints: end of the id, creation of the session; 16 bytes
//
// While the tombstone exists, the item records are those that the session had when the transaction
// that ended its id began. A release that does not know tombstones can't read the record, and
// therefore serves no data under the id.
type tombstone struct {
	ended   int64
	created int64
	seed    [16]byte // the new id is derived from the seed, the old id and the user
}

func (m tombstone) append(b []byte) []byte {
	b = append(b, formatTombstone)
	b = binary.AppendVarint(b, m.ended)
	b = binary.AppendVarint(b, m.created)
	return append(b, m.seed[:]...)
}

func readTombstone(b []byte) (m tombstone, problem string) {
	ended, n := binary.Varint(b[1:])
	if n <= 0 || ended < 0 {
		return m, "its end time is damaged"
	}
	created, k := binary.Varint(b[1+n:])
	if k <= 0 || created < 0 {
		return m, "its creation time is damaged"
	}
	if rest := b[1+n+k:]; len(rest) != len(m.seed) {
		return m, "its seed is damaged"
	}
	return tombstone{ended: ended, created: created, seed: [16]byte(b[1+n+k:])}, ""
}

// A ref identifies a session without revealing its id.
type ref [16]byte

func refOf(id string) ref {
	sum := sha256.Sum256([]byte(id))
	return ref(sum[:len(ref{})])
}

func (r ref) String() string { return hex.EncodeToString(r[:]) }

// aside returns the ref under which unreadable records of r are set aside. It is no id's ref,
// except by a hash collision.
func (r ref) aside() ref { return refOf("aside\x00" + string(r[:])) }

// key returns the key of r's record of this kind.
func (r ref) key(kind byte) []byte {
	return append(append(make([]byte, 0, len(r)+1), r[:]...), kind)
}

func (r ref) itemKey(key string) []byte {
	k := append(make([]byte, 0, len(r)+1+len(key)), r[:]...)
	return append(append(k, kindItem), key...)
}

func (r ref) usedKey(slice int64) []byte {
	k := append(make([]byte, 0, len(r)+1+sliceSize), r[:]...)
	return appendSlice(append(k, kindUsed), slice)
}

func (r ref) indexKey(slice int64) []byte {
	return append(appendSlice(make([]byte, 0, sliceSize+len(r)), slice), r[:]...)
}

// records returns the range of all records of r. It is storage.Prefix, except that the end of the
// range is stored in end, which avoids an allocation.
func (r *ref) records(end *ref) storage.Range {
	*end = *r
	for i := len(end) - 1; i >= 0; i-- {
		end[i]++
		if end[i] != 0 {
			return storage.Range{From: r[:], To: end[:i+1]}
		}
	}
	return storage.Range{From: r[:]}
}

// appendSlice appends a slice such that byte order is time order. A slice is never negative.
func appendSlice(b []byte, slice int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(slice))
}

func readSlice(b []byte) (int64, bool) {
	if len(b) != sliceSize {
		return 0, false
	}
	slice := binary.BigEndian.Uint64(b)
	return int64(slice), slice <= math.MaxInt64
}

// sliceOf returns the slice of a used record with a valid key.
func sliceOf(it storage.Item) int64 {
	slice, _ := readSlice(it.Key[len(ref{})+1:])
	return slice
}

// readIndexKey splits an index key into its parts.
func readIndexKey(key []byte) (slice int64, r ref, ok bool) {
	if len(key) != sliceSize+len(r) {
		return 0, r, false
	}
	slice, ok = readSlice(key[:sliceSize])
	return slice, ref(key[sliceSize:]), ok
}

// A meta is the decoded meta record: a session exists while it has one.
type meta struct {
	created int64 // time of creation
	used    int64 // the slice of its first use
}

func (m meta) append(b []byte) []byte {
	if m.fitsShort() {
		return m.appendShort(b)
	}
	b = append(b, format)
	b = binary.AppendVarint(b, m.created)
	return binary.AppendVarint(b, m.created-m.used)
}

func readMeta(b []byte) (m meta, problem string) {
	if len(b) == 0 {
		return m, "it is empty"
	}
	if b[0]&short != 0 {
		return readShortMeta(b)
	}
	if b[0] != format {
		return m, fmt.Sprintf("its format is %d, and this release knows only %d", b[0], format)
	}
	created, n := binary.Varint(b[1:])
	if n <= 0 || created < 0 {
		return m, "its creation time is damaged"
	}
	age, k := binary.Varint(b[1+n:])
	if k <= 0 || 1+n+k != len(b) || age > created || age < created-math.MaxInt64 {
		return m, "its time of first use is damaged"
	}
	return meta{created: created, used: created - age}, ""
}

// age returns the seconds from the start of the slice to the creation, for a slice of whole
// seconds.
func (m meta) age() int64 { return m.created/second - m.used/second }

func (m meta) fitsShort() bool {
	return m.used%second == 0 && m.age() >= 0 && m.age() < short &&
		m.created >= shortFrom && m.created-shortFrom < 1<<shortBits
}

func (m meta) appendShort(b []byte) []byte {
	var room [8]byte
	n := uint64(short+m.age())<<shortBits | uint64(m.created-shortFrom)
	binary.BigEndian.PutUint64(room[:], n)
	return append(b, room[len(room)-shortSize:]...)
}

func readShortMeta(b []byte) (m meta, problem string) {
	if len(b) != shortSize {
		return m, fmt.Sprintf("it has %d bytes, not %d", len(b), shortSize)
	}
	var room [8]byte
	copy(room[len(room)-shortSize+1:], b[1:])
	m.created = shortFrom + int64(binary.BigEndian.Uint64(room[:]))
	m.used = (m.created/second - int64(b[0]-short)) * second
	return m, ""
}

// A loaded holds the records of a session as they were when it was looked up.
type loaded struct {
	meta                     // for a tombstone: end of the id (used), and creation of its session
	exists    bool           // there is a meta record
	expired   bool           // the session exists, but has not been used for too long
	tombstone bool           // there is a tombstone instead of a meta record
	renewed   bool           // there is a tombstone whose grace is not over
	problem   *RecordError   // set if a record can't be read; the session then counts as absent
	deleted   int64          // time of the last deletion of an item, 0 if none
	end       ref            // memory for the end of the range of the records
	all       []storage.Item // all records, in ascending order of their keys
	nItems    int            // number of item records, which are the first in all
	nUses     int            // number of used records, which are the last in all
	pending   int64          // slice of the latest use that is pending (see usage), 0 if none
}

// items returns the item records.
func (l *loaded) items() []storage.Item { return l.all[:l.nItems] }

// uses returns the used records, in the order of their slices.
func (l *loaded) uses() []storage.Item { return l.all[len(l.all)-l.nUses:] }

// live reports whether the session exists and has not expired.
func (l *loaded) live() bool { return l.exists && !l.expired }

// read reads all records of the session r from the data bucket.
func (l *loaded) read(data storage.Bucket, r *ref) error {
	return l.readRange(data, r, r.records(&l.end))
}

// readMarks reads the meta record and the used records of the session r.
func (l *loaded) readMarks(data storage.Bucket, r *ref) error {
	return l.readRange(data, r, storage.Range{From: r.key(kindMeta), To: r.key(kindUsed + 1)})
}

func (l *loaded) readRange(data storage.Bucket, r *ref, records storage.Range) (err error) {
	if l.all, err = data.Items(records); err != nil {
		return err
	}
	for _, it := range l.all {
		record, problem := l.add(it)
		if problem != "" && l.problem == nil {
			l.problem = &RecordError{Session: r.String(), Record: record, Problem: problem}
		}
	}
	if l.problem != nil {
		l.exists, l.tombstone, l.nItems = false, false, 0
	}
	return nil
}

// lastUsed returns the slice in which the session was last used; 0 if it is not known.
func (l *loaded) lastUsed() int64 { return max(l.marked(), l.pending) }

// marked returns the slice in which the session was last used according to its records; 0 if none
// holds it.
func (l *loaded) marked() int64 {
	if l.nUses > 0 {
		return sliceOf(l.all[len(l.all)-1])
	}
	return l.used
}

// add adds a record of the session; records must be added in ascending order of their keys. If the
// record can't be read, add returns a description of it and the problem.
func (l *loaded) add(it storage.Item) (record, problem string) {
	if len(it.Key) <= len(ref{}) {
		return "a record", "its key is too short"
	}
	switch rest := it.Key[len(ref{})+1:]; it.Key[len(ref{})] {
	case kindItem:
		l.nItems++ // item records precede all other kinds
	case kindDeleted:
		if len(rest) != 0 {
			return "the time of the last deletion", "its key is too long"
		}
		// A damaged time is ignored, as only LastModified uses it.
		if deleted, n := binary.Varint(it.Value); n == len(it.Value) && deleted >= 0 {
			l.deleted = deleted
		}
	case kindMeta:
		if len(rest) != 0 {
			return "the meta record", "its key is too long"
		}
		return "the meta record", l.addMeta(it.Value)
	case kindUsed:
		if _, ok := readSlice(rest); !ok {
			return "a used record", "its time slice is damaged"
		}
		l.nUses++ // used records follow all other kinds
	default:
		return "a record", "its kind is " + strconv.QuoteRune(rune(it.Key[len(ref{})]))
	}
	return "", ""
}

func (l *loaded) addMeta(value []byte) (problem string) {
	if len(value) > 0 && value[0] == formatTombstone {
		m, problem := readTombstone(value)
		l.created, l.used, l.tombstone = m.created, m.ended, problem == ""
		return problem
	}
	l.meta, problem = readMeta(value)
	l.exists = problem == ""
	return problem
}
