package bolt

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"github.com/pasteline/pasteline/storage"
)

// The engine's own buckets begin with a zero byte; those of users can't.
var (
	metaBucket = []byte("\x00meta") // the format, and the RecorderID
	// transactions that were decided here, by id, with the time
	decidedBucket = []byte("\x00decided")
	formatKey     = []byte("format")
	identityKey   = []byte("identity")
	closedKey     = []byte("closed") // see isClosed
)

// formatVersion is the version of this package's records in a bbolt file. A file with a newer one
// is not touched.
const formatVersion = 1

const formatPrefix = "pasteline/"

func encodeFormat(version int) []byte {
	return strconv.AppendInt([]byte(formatPrefix), int64(version), 10)
}

// decodeFormat accepts the results of encodeFormat for versions from 1, and nothing else.
func decodeFormat(record []byte) (version int, err error) {
	text, ok := bytes.CutPrefix(record, []byte(formatPrefix))
	if ok {
		version, err = strconv.Atoi(string(text))
	}
	if !ok || err != nil || version < 1 || !bytes.Equal(record, encodeFormat(version)) {
		return 0, fmt.Errorf("%w: its format is recorded as %.40q", storage.ErrDamaged, record)
	}
	return version, nil
}

// decision returns the record of a transaction that was decided at a time.
func decision(at time.Time) []byte { return at.UTC().AppendFormat(nil, time.RFC3339) }

// checkFormat returns an error if the file belongs to another program, or has a newer format. An
// empty file is accepted.
func checkFormat(tx *bbolt.Tx) error {
	if meta := tx.Bucket(metaBucket); meta != nil {
		version, err := decodeFormat(meta.Get(formatKey))
		if err != nil {
			return err
		}
		if version > formatVersion {
			return fmt.Errorf("the database has format %d, "+
				"and this program knows formats up to %d: use a newer version of it",
				version, formatVersion)
		}
		return nil
	}
	if name, _ := tx.Cursor().First(); name != nil {
		return errors.New("a bbolt file of another program: " +
			"name a file that does not exist yet, which will be created")
	}
	return nil
}

// writeFormat writes the format to an empty file.
func writeFormat(tx *bbolt.Tx) error {
	if tx.Bucket(metaBucket) != nil {
		return nil
	}
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	return meta.Put(formatKey, encodeFormat(formatVersion))
}
