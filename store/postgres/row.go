package postgres

import (
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// row reads the columns of the current row as they came: in binary form, or as text where the URL asks for a protocol
// that poolers understand.
type row struct {
	values [][]byte
	fields []pgconn.FieldDescription
	types  *pgtype.Map
}

// Int64 reads an integer of any width.
func (r row) Int64(column int) int64 {
	v, field := r.values[column], r.fields[column]
	switch {
	case v == nil:
		return 0
	case field.Format == pgx.TextFormatCode:
		n, _ := strconv.ParseInt(string(v), 10, 64) // the column is an integer
		return n
	case len(v) == 8 && field.DataTypeOID == pgtype.Int8OID:
		return int64(binary.BigEndian.Uint64(v)) //nolint:gosec // two's complement, as it was written
	}
	var n pgtype.Int8
	if field.DataTypeOID == pgtype.NumericOID { // a sum
		var sum pgtype.Numeric
		_ = r.types.Scan(field.DataTypeOID, field.Format, v, &sum)
		n, _ = sum.Int64Value()
		return n.Int64
	}
	_ = r.types.Scan(field.DataTypeOID, field.Format, v, &n)
	return n.Int64
}

// Text reads a text.
func (r row) Text(column int) string { return string(r.values[column]) }

// Bytes reads bytes, nil where there are none.
func (r row) Bytes(column int) []byte {
	v := r.values[column]
	if len(v) == 0 {
		return nil
	}
	if r.fields[column].Format == pgx.TextFormatCode && r.fields[column].DataTypeOID == pgtype.ByteaOID {
		b, _ := hex.DecodeString(string(v[len(`\x`):])) // bytea_output is hex unless somebody changes it
		return slices.Clip(b)
	}
	return slices.Clone(v)
}
