package tallygate

import "time"

// EntryKind names what an entry did.
type EntryKind string

// The kinds of entries.
const (
	EntryCredit     EntryKind = "credit"
	EntryHold       EntryKind = "hold"
	EntryCharge     EntryKind = "charge"
	EntryRelease    EntryKind = "release"
	EntryRefund     EntryKind = "refund"
	EntryAdjustment EntryKind = "adjustment"
)

// Entry is one immutable line of a client's ledger: signed deltas of posted and held money and the balance after it.
type Entry struct {
	ID        EntryID
	ClientID  ClientID
	Number    int64 // 1, 2, 3 … within the client
	Kind      EntryKind
	Posted    Money // delta
	Held      Money // delta
	After     Balance
	Floor     Money // for a hold: the minimum balance then in force
	JobID     JobID // empty where no job is concerned
	Note      string
	CreatedAt time.Time
}
