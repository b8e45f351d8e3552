package storetest

import (
	"net/netip"
	"slices"
	"time"

	"github.com/tallygate/tallygate"
)

// newKey makes a key with every field set.
func (f *fixture) newKey(owner tallygate.ClientID) *tallygate.APIKey {
	k := &tallygate.APIKey{
		ID:           tallygate.KeyID(f.ids.Next(tallygate.KeyPrefix, noon)),
		ClientID:     owner,
		Name:         "ci",
		Permissions:  tallygate.PermissionSet{tallygate.JobsRead, tallygate.JobsWrite},
		AllowedCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")},
		Rate:         tallygate.RateLimit{PerSecond: 2.5, Burst: 5},
		ExpiresAt:    noon.Add(time.Hour),
		RevokedAt:    noon.Add(time.Minute),
		LimitKey:     "key_first",
		ReplacedBy:   "key_next",
		CreatedAt:    noon,
		LastUsedAt:   noon.Add(time.Second),
	}
	for i := range k.SecretHash {
		k.SecretHash[i] = byte(i * 8)
	}
	return k
}

func readsKey(id tallygate.KeyID) func(tx tallygate.Tx) (*tallygate.APIKey, error) {
	return func(tx tallygate.Tx) (*tallygate.APIKey, error) { return tx.Key(id) }
}

var keyCases = []testCase{
	{"a key reads as it was inserted", func(f *fixture) {
		k := f.newKey("cl_owner")
		filled(f, k)
		plain := &tallygate.APIKey{ID: "key_plain", ClientID: "cl_owner", Permissions: tallygate.PermissionSet{tallygate.Work}, CreatedAt: noon}
		f.update(func(tx tallygate.Tx) error {
			if err := tx.InsertKey(k); err != nil {
				return err
			}
			return tx.InsertKey(plain)
		})
		seen(f, "the key", k, readsKey(k.ID))
		seen(f, "a key that leaves out what it may", plain, readsKey(plain.ID))
		seen(f, "an unknown key", nil, readsKey("key_unknown"))
	}},
	{"saving a key writes expiry, revocation and replacement alone", func(f *fixture) {
		k := f.newKey("cl_owner")
		f.update(func(tx tallygate.Tx) error { return tx.InsertKey(k) })
		changed := *k
		changed.Name, changed.Permissions, changed.LastUsedAt = "other", nil, noon.Add(time.Hour)
		changed.ExpiresAt, changed.RevokedAt, changed.ReplacedBy = noon.Add(2*time.Hour), time.Time{}, "key_other"
		f.update(func(tx tallygate.Tx) error { return tx.SaveKey(&changed) })
		want := *k
		want.ExpiresAt, want.RevokedAt, want.ReplacedBy = changed.ExpiresAt, changed.RevokedAt, changed.ReplacedBy
		seen(f, "the key", &want, readsKey(k.ID))
	}},
	{"when a key was used never goes back", func(f *fixture) {
		k := f.newKey("cl_owner")
		f.update(func(tx tallygate.Tx) error { return tx.InsertKey(k) })
		for _, at := range []time.Duration{time.Hour, time.Minute, 2 * time.Hour, 0} {
			f.update(func(tx tallygate.Tx) error { return tx.TouchKey(k.ID, noon.Add(at)) })
		}
		k.LastUsedAt = noon.Add(2 * time.Hour)
		seen(f, "the key", k, readsKey(k.ID))
	}},
	{"a client's own keys are listed newest first, each once", func(f *fixture) {
		var want []tallygate.KeyID
		for i := range 10 {
			owner := tallygate.ClientID("cl_owner")
			if i%2 == 1 {
				owner = "cl_other"
			}
			k := f.newKey(owner)
			f.update(func(tx tallygate.Tx) error { return tx.InsertKey(k) })
			if owner == "cl_owner" {
				want = append(want, k.ID)
			}
		}
		slices.Reverse(want)
		var got []tallygate.KeyID
		f.view(func(tx tallygate.Tx) error {
			after := ""
			for {
				page, err := tx.Keys("cl_owner", tallygate.Page{After: after, Limit: 2})
				if err != nil || len(page) == 0 {
					return err
				}
				for _, k := range page {
					got, after = append(got, k.ID), string(k.ID)
				}
			}
		})
		if !slices.Equal(got, want) {
			f.Errorf("listed %v, want %v", got, want)
		}
	}},
}
