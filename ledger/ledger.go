// Package ledger moves money: credit, hold, charge and release, each an immutable entry with the balance after it. It
// works inside the caller's transaction and refuses what would leave less than a client's floor; it never sets a
// balance, and it knows nothing of queues.
package ledger

import (
	"github.com/tallygate/tallygate"
)

// Hold sets aside what a job may cost. It changes c's account, which the caller saves. It refuses with
// INSUFFICIENT_BALANCE when less than the client's minimum would stay available, and writes nothing then.
func Hold(tx tallygate.Tx, ids *tallygate.IDs, c *tallygate.Client, job tallygate.JobID, amount tallygate.Money) error {
	if err := CanHold(c, amount); err != nil {
		return err
	}
	if amount == 0 {
		return nil
	}
	_, err := post(tx, ids, c, tallygate.Entry{Kind: tallygate.EntryHold, Held: amount, Floor: c.MinimumBalance, JobID: job})
	return err
}

// CanHold decides whether the amount may be set aside.
func CanHold(c *tallygate.Client, amount tallygate.Money) error {
	if available := c.Balance.Available(); amount > available-c.MinimumBalance {
		return tallygate.Errorf(tallygate.InsufficientBalance,
			"this needs %s, %s is available and at least %s must stay; add funds or lower the cost",
			amount, available, c.MinimumBalance)
	}
	return nil
}

// Settle charges a job that has ended and releases the rest of its hold. The charge is at most the hold. It changes
// c's account, which the caller saves, and returns what was released.
func Settle(tx tallygate.Tx, ids *tallygate.IDs, c *tallygate.Client, job tallygate.JobID, held, charge tallygate.Money) (tallygate.Money, error) {
	charge = min(charge, held)
	released := held - charge
	if charge > 0 {
		if _, err := post(tx, ids, c, tallygate.Entry{Kind: tallygate.EntryCharge, Posted: -charge, Held: -charge, JobID: job}); err != nil {
			return 0, err
		}
	}
	if released > 0 {
		if _, err := post(tx, ids, c, tallygate.Entry{Kind: tallygate.EntryRelease, Held: -released, JobID: job}); err != nil {
			return 0, err
		}
	}
	return released, nil
}

// Credit adds money to a client's balance and returns the entry. A balance past tallygate.MaxMoney is INVALID_PARAMETER.
func Credit(tx tallygate.Tx, ids *tallygate.IDs, c *tallygate.Client, amount tallygate.Money, note string) (*tallygate.Entry, error) {
	if amount <= 0 {
		return nil, &tallygate.Error{Code: tallygate.InvalidParameter, Field: "amount", Detail: "amount must be more than 0"}
	}
	if c.Balance.Posted > tallygate.MaxMoney-amount {
		return nil, &tallygate.Error{Code: tallygate.InvalidParameter, Field: "amount", Detail: "amount would take the balance past " + tallygate.MaxMoney.String()}
	}
	return post(tx, ids, c, tallygate.Entry{Kind: tallygate.EntryCredit, Posted: amount, Note: note})
}

// post applies an entry's deltas to the account and appends the entry.
func post(tx tallygate.Tx, ids *tallygate.IDs, c *tallygate.Client, e tallygate.Entry) (*tallygate.Entry, error) {
	c.Entries++
	c.Balance.Posted += e.Posted
	c.Balance.Held += e.Held
	e.ID = tallygate.EntryID(ids.Next(tallygate.EntryPrefix, tx.Now()))
	e.ClientID, e.Number, e.After, e.CreatedAt = c.ID, c.Entries, c.Balance, tx.Now()
	return &e, tx.InsertEntry(&e)
}
