package storetest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tallygate/tallygate"
)

// newClient makes a client with every field set.
func (f *fixture) newClient() *tallygate.Client {
	return &tallygate.Client{
		ID:             tallygate.ClientID(f.ids.Next(tallygate.ClientPrefix, noon)),
		Name:           "Acme \"&\" Söhne",
		Status:         tallygate.ClientActive,
		Operator:       true,
		MinimumBalance: -5_000_000,
		Limits:         tallygate.ClientLimits{Rate: tallygate.RateLimit{PerSecond: 0.125, Burst: 7}, RunningJobs: 3, QueuedJobs: 4},
		Metadata:       []byte(`{"tier":"gold"}`),
		CreatedAt:      noon.Add(123456 * time.Microsecond),
		Revision:       17,
	}
}

// client inserts a client.
func (f *fixture) client() *tallygate.Client {
	f.Helper()
	c := f.newClient()
	f.update(func(tx tallygate.Tx) error { return tx.InsertClient(c) })
	return c
}

func reads(id tallygate.ClientID) func(tx tallygate.Tx) (*tallygate.Client, error) {
	return func(tx tallygate.Tx) (*tallygate.Client, error) { return tx.Client(id) }
}

var clientCases = []testCase{
	{"a client reads as it was inserted, with an empty account", func(f *fixture) {
		c := f.newClient()
		filled(f, c, "Account")
		f.update(func(tx tallygate.Tx) error { return tx.InsertClient(c) })
		seen(f, "the client", c, reads(c.ID))
		seen(f, "an unknown client", nil, reads("cl_unknown"))
	}},
	{"a client is inserted once", func(f *fixture) {
		c := f.client()
		err := f.store.Update(context.Background(), func(tx tallygate.Tx) error { return tx.InsertClient(c) })
		if !tallygate.IsCode(err, tallygate.DatabaseError) {
			f.Errorf("the second insert: %v", err)
		}
	}},
	{"saving a client leaves its account alone, and the other way round", func(f *fixture) {
		c := f.client()
		account := tallygate.Account{Balance: tallygate.Balance{Posted: 25_000_000, Held: 300_000}, Queued: 2, Running: 1, Entries: 9}
		f.update(func(tx tallygate.Tx) error { return tx.SaveAccount(&tallygate.Client{ID: c.ID, Account: account}) })
		c.Account = account
		seen(f, "after SaveAccount", c, reads(c.ID))

		changed := *c
		changed.Name, changed.Status, changed.MinimumBalance = "Other", tallygate.ClientSuspended, 1
		changed.Limits = tallygate.ClientLimits{Rate: tallygate.RateLimit{PerSecond: 12.5, Burst: 1}, RunningJobs: 8, QueuedJobs: 9}
		changed.Metadata, changed.Revision = []byte(`{}`), 18
		stale := changed
		stale.Account = tallygate.Account{}
		f.update(func(tx tallygate.Tx) error { return tx.SaveClient(&stale) })
		seen(f, "after SaveClient", &changed, reads(c.ID))
	}},
	{"both may be saved in one transaction, in either order", func(f *fixture) {
		c := f.client()
		account := tallygate.Account{Balance: tallygate.Balance{Posted: 1}, Entries: 1}
		for i, order := range [][]func(tallygate.Tx, *tallygate.Client) error{
			{tallygate.Tx.SaveAccount, tallygate.Tx.SaveClient},
			{tallygate.Tx.SaveClient, tallygate.Tx.SaveAccount},
		} {
			c.Name, account.Entries = fmt.Sprint("name ", i), int64(i)
			c.Account = account
			f.update(func(tx tallygate.Tx) error {
				for _, save := range order {
					if err := save(tx, c); err != nil {
						return err
					}
				}
				return nil
			})
			seen(f, fmt.Sprint("in order ", i), c, reads(c.ID))
		}
	}},
	{"what is read is a copy", func(f *fixture) {
		c := f.client()
		f.update(func(tx tallygate.Tx) error {
			read, err := tx.Client(c.ID)
			if err == nil {
				read.Name, read.Balance.Posted = "changed", 99
			}
			return err
		})
		seen(f, "the client", c, reads(c.ID))
	}},
	{"clients are listed newest first, each once", func(f *fixture) {
		var want []tallygate.ClientID
		for range 7 {
			want = append(want, f.client().ID)
		}
		slices.Reverse(want)
		var got []tallygate.ClientID
		f.view(func(tx tallygate.Tx) error {
			after := ""
			for {
				page, err := tx.Clients(tallygate.Page{After: after, Limit: 3})
				if err != nil || len(page) == 0 {
					return err
				}
				for _, c := range page {
					got, after = append(got, c.ID), string(c.ID)
				}
			}
		})
		if !slices.Equal(got, want) {
			f.Errorf("listed %v, want %v", got, want)
		}
	}},
	{"the revision rises by one", func(f *fixture) {
		var before, raised int64
		f.update(func(tx tallygate.Tx) (err error) {
			if before, err = tx.Revision(); err != nil {
				return err
			}
			for range 3 {
				if raised, err = tx.RaiseRevision(); err != nil {
					return err
				}
			}
			return nil
		})
		if raised != before+3 {
			f.Errorf("raised thrice from %d it is %d", before, raised)
		}
		seen(f, "the revision", raised, tallygate.Tx.Revision)
	}},
}
