package session

import (
	"encoding"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
)

// Every item has its own record: the time of writing (a varint: milliseconds since the session was
// created), a tag, and the value in the format of the tag. Small common types have binary formats,
// which are cheap to decode; everything else is JSON.
const (
	tagString = 's' // the bytes
	tagBytes  = 'b' // the bytes
	tagInt    = 'i' // varint
	tagUint   = 'u' // uvarint; only for values too large for int64
	tagFloat  = 'd' // 8 bytes, big endian
	tagTrue   = 't'
	tagFalse  = 'f'
	tagJSON   = 'j'
)

// appendValue appends the encoded value to b.
func appendValue(b []byte, value any) ([]byte, error) {
	switch v := value.(type) {
	case string:
		return append(append(b, tagString), v...), nil
	case []byte:
		return append(append(b, tagBytes), v...), nil
	case bool:
		if v {
			return append(b, tagTrue), nil
		}
		return append(b, tagFalse), nil
	case int:
		return appendInt(b, int64(v)), nil
	case int8:
		return appendInt(b, int64(v)), nil
	case int16:
		return appendInt(b, int64(v)), nil
	case int32:
		return appendInt(b, int64(v)), nil
	case int64:
		return appendInt(b, v), nil
	case uint:
		return appendUint(b, uint64(v)), nil
	case uint8:
		return appendUint(b, uint64(v)), nil
	case uint16:
		return appendUint(b, uint64(v)), nil
	case uint32:
		return appendUint(b, uint64(v)), nil
	case uint64:
		return appendUint(b, v), nil
	case float32:
		return appendFloat(b, float64(v)), nil
	case float64:
		return appendFloat(b, v), nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	if err := checkJSON(value, text); err != nil {
		return nil, err
	}
	return append(append(b, tagJSON), text...), nil
}

func appendInt(b []byte, v int64) []byte { return binary.AppendVarint(append(b, tagInt), v) }

func appendUint(b []byte, v uint64) []byte {
	if v <= math.MaxInt64 {
		return appendInt(b, int64(v))
	}
	return binary.AppendUvarint(append(b, tagUint), v)
}

func appendFloat(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, tagFloat), math.Float64bits(v))
}

// An encoded is an encoded value: a tag and the value in the format of that tag.
type encoded []byte

var (
	errDamaged = errors.New("it is damaged")
	errType    = errors.New("wrong type")
)

// splitItem splits an item's record into its parts.
func splitItem(record []byte) (sinceCreation int64, value encoded, err error) {
	since, n := binary.Varint(record)
	if n <= 0 || n == len(record) {
		return 0, nil, errDamaged
	}
	return since, encoded(record[n:]), nil
}

// kind describes the stored type, for error messages.
func (e encoded) kind() string {
	switch e[0] {
	case tagString:
		return "a string"
	case tagBytes:
		return "bytes"
	case tagInt, tagUint:
		return "an integer"
	case tagFloat:
		return "a float"
	case tagTrue, tagFalse:
		return "a bool"
	default:
		return "JSON"
	}
}

// decode decodes the value into *to, which shares no memory with it. The error is errType,
// errDamaged or one of encoding/json.
func decode[T any](e encoded, to *T) error {
	if err := e.check(); err != nil {
		return err
	}
	if done, err := e.decodeBasic(to); done {
		return err
	}
	// decodes into a local variable, so that to does not escape to the heap for common types
	other := new(T)
	err := e.decodeOther(other)
	*to = *other
	return err
}

// decodeBasic decodes a value with a binary format into a variable of a matching basic type. It
// returns false if the value or the variable is of another type.
func (e encoded) decodeBasic(to any) (done bool, err error) {
	switch to := to.(type) {
	case *string:
		if e[0] == tagString {
			*to = string(e[1:])
			return true, nil
		}
	case *[]byte:
		if e[0] == tagBytes {
			*to = append(make([]byte, 0, len(e)-1), e[1:]...)
			return true, nil
		}
	case *bool:
		if e[0] == tagTrue || e[0] == tagFalse {
			*to = e[0] == tagTrue
			return true, nil
		}
	case *int:
		return decodeInt(e, to)
	case *int8:
		return decodeInt(e, to)
	case *int16:
		return decodeInt(e, to)
	case *int32:
		return decodeInt(e, to)
	case *int64:
		return decodeInt(e, to)
	case *uint:
		return decodeUint(e, to)
	case *uint8:
		return decodeUint(e, to)
	case *uint16:
		return decodeUint(e, to)
	case *uint32:
		return decodeUint(e, to)
	case *uint64:
		return decodeUint(e, to)
	case *float32:
		if e[0] == tagFloat {
			*to = float32(e.float())
			return true, nil
		}
	case *float64:
		if e[0] == tagFloat {
			*to = e.float()
			return true, nil
		}
	}
	return false, nil
}

// decodeOther decodes the values that decodeBasic does not handle.
func (e encoded) decodeOther(to any) error {
	if to, ok := to.(*any); ok {
		return e.decodeAny(to)
	}
	if e[0] == tagJSON {
		return e.decodeJSON(to)
	}
	return e.decodeNamed(to)
}

// decodeNamed decodes into a variable of a defined type, such as time.Duration, if the value fits
// its underlying type: stored sessions may hold a value that was set before the app introduced the
// type. Types that define their own decoding are refused.
func (e encoded) decodeNamed(to any) error {
	switch to.(type) {
	case json.Unmarshaler, encoding.TextUnmarshaler:
		return errType
	}
	v := reflect.ValueOf(to).Elem()
	var n uint64
	switch {
	case v.Kind() == reflect.String && e[0] == tagString:
		v.SetString(string(e[1:]))
	case v.Kind() == reflect.Bool && (e[0] == tagTrue || e[0] == tagFalse):
		v.SetBool(e[0] == tagTrue)
	case v.CanInt() && e[0] == tagInt && !v.OverflowInt(e.int()):
		v.SetInt(e.int())
	case v.CanUint() && (e[0] == tagInt || e[0] == tagUint):
		if _, err := decodeUint(e, &n); err != nil || v.OverflowUint(n) {
			return errType
		}
		v.SetUint(n)
	case v.CanFloat() && e[0] == tagFloat:
		v.SetFloat(e.float())
	default:
		return errType
	}
	return nil
}

// decodeJSON decodes JSON. The error wraps errDamaged if the text is not valid JSON; if it does not
// fit the type, it is that of encoding/json.
func (e encoded) decodeJSON(to any) error {
	err := json.Unmarshal(e[1:], to)
	if err != nil && !json.Valid(e[1:]) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

// decodeAny decodes into an interface: string, []byte, int64, uint64, float64, bool, or the result
// of decoding the JSON.
func (e encoded) decodeAny(to *any) error {
	switch e[0] {
	case tagString:
		*to = string(e[1:])
	case tagBytes:
		*to = append(make([]byte, 0, len(e)-1), e[1:]...)
	case tagInt:
		*to = e.int()
	case tagUint:
		*to = e.uint()
	case tagFloat:
		*to = e.float()
	case tagTrue, tagFalse:
		*to = e[0] == tagTrue
	default:
		return e.decodeJSON(to)
	}
	return nil
}

// check returns errDamaged if e does not have a format that appendValue writes. JSON is not
// checked.
func (e encoded) check() error {
	if len(e) == 0 {
		return errDamaged
	}
	ok, n := true, len(e)-1 // n is the length that the value should have
	switch e[0] {
	case tagString, tagBytes, tagJSON:
	case tagInt:
		_, n = binary.Varint(e[1:])
		ok = n > 0
	case tagUint:
		var v uint64
		v, n = binary.Uvarint(e[1:])
		ok = n > 0 && v > math.MaxInt64
	case tagFloat:
		n = 8
	case tagTrue, tagFalse:
		n = 0
	default:
		return fmt.Errorf("%w: its tag is %q", errDamaged, e[0])
	}
	if !ok || n != len(e)-1 {
		return errDamaged
	}
	return nil
}

func (e encoded) int() int64 {
	v, _ := binary.Varint(e[1:])
	return v
}

func (e encoded) uint() uint64 {
	v, _ := binary.Uvarint(e[1:])
	return v
}

func (e encoded) float() float64 { return math.Float64frombits(binary.BigEndian.Uint64(e[1:])) }

func decodeInt[I int | int8 | int16 | int32 | int64](e encoded, to *I) (done bool, err error) {
	if e[0] != tagInt {
		return false, nil
	}
	v := e.int()
	if int64(I(v)) != v {
		return true, errType
	}
	*to = I(v)
	return true, nil
}

func decodeUint[U uint | uint8 | uint16 | uint32 | uint64](
	e encoded, to *U,
) (done bool, err error) {
	var v uint64
	switch {
	case e[0] == tagInt && e.int() >= 0:
		v = uint64(e.int())
	case e[0] == tagInt:
		return true, errType
	case e[0] == tagUint:
		v = e.uint()
	default:
		return false, nil
	}
	if uint64(U(v)) != v {
		return true, errType
	}
	*to = U(v)
	return true, nil
}
