package postgres

import (
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5/pgtype"
)

// array is a column of rows as PostgreSQL takes it: a one-dimensional array in its binary format (array_recv of its
// sources). It is made in one piece: values that are encoded one by one were half of what a submit allocated.
type array []byte

const (
	arrayHeader = 20 // bytes: dimensions, whether there are nulls, the elements' type, how many, the first one's index
	lengthSize  = 4  // bytes before each element
	null        = 0xffffffff
)

// newArray makes the array of one column.
func newArray(rows [][]any, column int) array {
	size := arrayHeader
	for _, row := range rows {
		switch v := row[column].(type) {
		case string:
			size += lengthSize + len(v)
		case []byte:
			size += lengthSize + len(v)
		default:
			size += lengthSize + 8
		}
	}
	a := make(array, arrayHeader, size)
	binary.BigEndian.PutUint32(a[0:], 1)
	binary.BigEndian.PutUint32(a[8:], kindOf(rows[0][column]).oid)
	binary.BigEndian.PutUint32(a[12:], uint32(len(rows))) //nolint:gosec // a batch
	binary.BigEndian.PutUint32(a[16:], 1)
	for _, row := range rows {
		a = a.with(row[column])
	}
	return a
}

// with appends an element.
func (a array) with(element any) array {
	switch v := element.(type) {
	case string:
		v = text(v)
		a = binary.BigEndian.AppendUint32(a, uint32(len(v))) //nolint:gosec // below 1 GB, which PostgreSQL would refuse
		return append(a, v...)
	case []byte:
		if v == nil {
			binary.BigEndian.PutUint32(a[4:], 1)
			return binary.BigEndian.AppendUint32(a, null)
		}
		a = binary.BigEndian.AppendUint32(a, uint32(len(v))) //nolint:gosec // below 1 GB, which PostgreSQL would refuse
		return append(a, v...)
	case int64:
		a = binary.BigEndian.AppendUint32(a, 8)
		return binary.BigEndian.AppendUint64(a, uint64(v)) //nolint:gosec // two's complement, as it is sent
	case int:
		return a.with(int64(v))
	}
	panic(fmt.Sprintf("an element is a %T", element))
}

// kind is a type of columns.
type kind struct {
	name string
	oid  uint32 // of an element
	all  uint32 // of an array
}

var (
	textKind   = kind{"text", pgtype.TextOID, pgtype.TextArrayOID}
	byteaKind  = kind{"bytea", pgtype.ByteaOID, pgtype.ByteaArrayOID}
	bigintKind = kind{"bigint", pgtype.Int8OID, pgtype.Int8ArrayOID}
)

func kindOf(element any) kind {
	switch element.(type) {
	case string:
		return textKind
	case []byte:
		return byteaKind
	}
	return bigintKind
}

// takeArrays has a connection's types send an array as it is.
func takeArrays(m *pgtype.Map) {
	for _, k := range []kind{textKind, byteaKind, bigintKind} {
		if t, ok := m.TypeForOID(k.all); ok {
			m.RegisterType(&pgtype.Type{Name: t.Name, OID: t.OID, Codec: arrayCodec{t.Codec}})
		}
	}
}

// arrayCodec is the codec of an array type that takes an array, too.
type arrayCodec struct{ pgtype.Codec }

func (c arrayCodec) PlanEncode(m *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.(array); ok && format == pgtype.BinaryFormatCode {
		return asItIs{}
	}
	return c.Codec.PlanEncode(m, oid, format, value)
}

type asItIs struct{}

func (asItIs) Encode(value any, buf []byte) ([]byte, error) {
	return append(buf, value.(array)...), nil
}
