package api

import (
	"encoding/base64"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/tallygate/tallygate"
)

// A cursor is what a list goes on after, made opaque: a letter for the list, a hash of what was asked for, so that a
// cursor is refused by any other list, and the rooms' own mark, in base64url.

// list is the letter of a list.
type list byte

const (
	jobList    list = 'j'
	entryList  list = 'e'
	keyList    list = 'k'
	clientList list = 'c'
	auditList  list = 'a'
	typeList   list = 't'
)

const (
	maxCursor = 256
	scopeSize = 4
)

// encodeCursor is empty where after is: there is no next page.
func encodeCursor(l list, scope, after string) string {
	if after == "" {
		return ""
	}
	b := append(make([]byte, 0, 64), byte(l))
	b = appendScope(b, scope)
	return base64.RawURLEncoding.EncodeToString(append(b, after...))
}

// decodeCursor reads a cursor of the list and the scope.
func decodeCursor(l list, scope, cursor string) (after string, ok bool) {
	if cursor == "" || len(cursor) > maxCursor {
		return "", false
	}
	if strings.ContainsAny(cursor, "\r\n") { // base64 reads over them
		return "", false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || len(b) <= 1+scopeSize || b[0] != byte(l) {
		return "", false
	}
	if string(appendScope(nil, scope)) != string(b[1:1+scopeSize]) {
		return "", false
	}
	after = string(b[1+scopeSize:])
	return after, l.marks(after)
}

// appendScope appends the hash of what the list was asked for.
func appendScope(b []byte, scope string) []byte {
	h := fnv.New32a()
	_, _ = h.Write([]byte(scope))
	return h.Sum(b)
}

// marks reports whether the list goes on after such a mark.
func (l list) marks(after string) bool {
	switch l {
	case jobList:
		return tallygate.ValidID(tallygate.JobPrefix, after) || isNumber(after)
	case entryList, auditList:
		return isNumber(after)
	case keyList:
		return tallygate.ValidID(tallygate.KeyPrefix, after)
	case clientList:
		return tallygate.ValidID(tallygate.ClientPrefix, after)
	}
	return len(after) <= maxTypeName
}

func isNumber(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n >= 0
}
