package tallygate

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"
)

// Identifiers are a prefix and 26 characters of Crockford's base32 in lower case, which sort by the time of their making
// (the ULID layout: 48 bits of Unix milliseconds, then 80 random bits).

// ClientID identifies a client: cl_…
type ClientID string

// KeyID identifies an API key: key_…
type KeyID string

// JobID identifies a job: job_…
type JobID string

// EntryID identifies a ledger entry: ent_…
type EntryID string

// EventID identifies an event: evt_…
type EventID string

// The prefixes of the typed identifiers.
const (
	ClientPrefix = "cl_"
	KeyPrefix    = "key_"
	JobPrefix    = "job_"
	EntryPrefix  = "ent_"
	EventPrefix  = "evt_"
)

const (
	idAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	idLength   = 26
)

// IDs makes identifiers that rise strictly within one process, also when the clock steps back.
type IDs struct {
	mu   sync.Mutex
	ms   uint64
	high uint16
	low  uint64
}

// Next returns prefix and a fresh identifier for the time now.
func (g *IDs) Next(prefix string, now time.Time) string {
	g.mu.Lock()
	if ms := uint64(now.UnixMilli()); ms > g.ms {
		var seed [10]byte
		_, _ = rand.Read(seed[:]) // crypto/rand.Read never fails: it ends the process instead
		g.ms, g.high = ms, binary.BigEndian.Uint16(seed[:])>>1
		g.low = binary.BigEndian.Uint64(seed[2:])
	} else if g.low++; g.low == 0 {
		g.high++
	}
	ms, high, low := g.ms, g.high, g.low
	g.mu.Unlock()
	return prefix + encodeID(ms, high, low)
}

// NewEventID is the identifier of the event with the number: it sorts by time, then by number.
func NewEventID(at time.Time, number int64) EventID {
	return EventID(EventPrefix + encodeID(uint64(at.UnixMilli()), 0, uint64(number)))
}

// encodeID writes 130 bits, the two highest of them zero, as 26 base32 digits.
func encodeID(ms uint64, high uint16, low uint64) string {
	var out [idLength]byte
	top, bottom := ms<<16|uint64(high), low // 64 and 64 bits
	for i := idLength - 1; i >= 0; i-- {
		out[i] = idAlphabet[bottom&31]
		bottom = bottom>>5 | top<<59
		top >>= 5
	}
	return string(out[:])
}

// ValidID reports whether s is the prefix and a well-formed identifier.
func ValidID(prefix, s string) bool {
	if len(s) != len(prefix)+idLength || s[:len(prefix)] != prefix || s[len(prefix)] > '7' {
		return false
	}
	for i := len(prefix); i < len(s); i++ {
		c := s[i]
		digit := c >= '0' && c <= '9'
		letter := c >= 'a' && c <= 'z' && c != 'i' && c != 'l' && c != 'o' && c != 'u'
		if !digit && !letter {
			return false
		}
	}
	return true
}
