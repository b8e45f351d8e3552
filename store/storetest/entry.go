package storetest

import (
	"context"
	"strconv"

	"github.com/tallygate/tallygate"
)

// newEntry makes an entry with every field set.
func (f *fixture) newEntry(owner tallygate.ClientID, number int64) *tallygate.Entry {
	return &tallygate.Entry{
		ID:        tallygate.EntryID(f.ids.Next(tallygate.EntryPrefix, noon)),
		ClientID:  owner,
		Number:    number,
		Kind:      tallygate.EntryHold,
		Posted:    -3,
		Held:      5,
		After:     tallygate.Balance{Posted: 100, Held: 7},
		Floor:     -11,
		JobID:     "job_1",
		Note:      "opening — «balance»",
		CreatedAt: noon,
	}
}

var entryCases = []testCase{
	{"entries read as they were appended, newest first, each once", func(f *fixture) {
		var want []*tallygate.Entry
		f.update(func(tx tallygate.Tx) error {
			for n := int64(1); n <= 12; n++ { // past 9: numbers sort as numbers
				e := f.newEntry("cl_owner", n)
				filled(f, e)
				want = append([]*tallygate.Entry{e}, want...)
				if err := tx.InsertEntry(e); err != nil {
					return err
				}
				if err := tx.InsertEntry(f.newEntry("cl_other", n)); err != nil {
					return err
				}
			}
			return nil
		})
		seen(f, "the ledger", want, func(tx tallygate.Tx) (all []*tallygate.Entry, err error) {
			after := ""
			for {
				page, err := tx.Entries("cl_owner", tallygate.Page{After: after, Limit: 5})
				if err != nil || len(page) == 0 {
					return all, err
				}
				all = append(all, page...)
				after = strconv.FormatInt(page[len(page)-1].Number, 10)
			}
		})
	}},
	{"a number is given once in a ledger", func(f *fixture) {
		f.update(func(tx tallygate.Tx) error { return tx.InsertEntry(f.newEntry("cl_owner", 1)) })
		err := f.store.Update(context.Background(), func(tx tallygate.Tx) error { return tx.InsertEntry(f.newEntry("cl_owner", 1)) })
		if !tallygate.IsCode(err, tallygate.DatabaseError) {
			f.Errorf("the second entry 1: %v", err)
		}
	}},
}
