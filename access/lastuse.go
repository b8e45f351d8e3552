package access

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate"
)

// uses remembers when keys were last used until it is written down. It holds the keys used since the flush before last,
// each of which the store knows.
type uses struct {
	seed   maphash.Seed
	shards [16]useShard
}

type useShard struct {
	mu   sync.RWMutex
	keys map[tallygate.KeyID]*use
}

// use is one key's, in Unix nanoseconds.
type use struct {
	last    atomic.Int64
	written atomic.Int64
}

// useStep is how exactly uses are noted: a busy key's is not stored with every call.
const useStep = time.Second

func newUses() *uses {
	u := &uses{seed: maphash.MakeSeed()}
	for i := range u.shards {
		u.shards[i].keys = map[tallygate.KeyID]*use{}
	}
	return u
}

func (u *uses) shard(id tallygate.KeyID) *useShard {
	return &u.shards[maphash.String(u.seed, string(id))%uint64(len(u.shards))]
}

// touch notes a use. It never goes back.
func (u *uses) touch(id tallygate.KeyID, at time.Time) {
	sh, ns := u.shard(id), at.UnixNano()
	sh.mu.RLock()
	k := sh.keys[id]
	if k != nil {
		k.raise(ns)
	}
	sh.mu.RUnlock()
	if k != nil {
		return
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if k = sh.keys[id]; k == nil {
		k = &use{}
		sh.keys[id] = k
	}
	k.raise(ns)
}

func (k *use) raise(ns int64) {
	for last := k.last.Load(); ns-last >= int64(useStep); last = k.last.Load() {
		if k.last.CompareAndSwap(last, ns) {
			return
		}
	}
}

// overlay puts a use that is not written yet into a key that was read.
func (u *uses) overlay(k *tallygate.APIKey) {
	sh := u.shard(k.ID)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if use := sh.keys[k.ID]; use != nil {
		if last := time.Unix(0, use.last.Load()).UTC(); last.After(k.LastUsedAt) {
			k.LastUsedAt = last
		}
	}
}

// touched is a use to be written down.
type touched struct {
	id tallygate.KeyID
	at int64
	*use
}

// unwritten lists what is to be written and forgets the keys that were not used since they were.
func (u *uses) unwritten() []touched {
	var all []touched
	for i := range u.shards {
		sh := &u.shards[i]
		sh.mu.Lock()
		for id, k := range sh.keys {
			if last := k.last.Load(); last != k.written.Load() {
				all = append(all, touched{id, last, k})
			} else {
				delete(sh.keys, id)
			}
		}
		sh.mu.Unlock()
	}
	return all
}

// flushBatch is how many keys one transaction touches.
const flushBatch = 200

// flush writes down the uses since the last flush. What can't be written is tried again at the next one.
func (s *Service) flush(ctx context.Context) {
	all := s.uses.unwritten()
	for len(all) > 0 {
		batch := all[:min(flushBatch, len(all))]
		all = all[len(batch):]
		err := s.store.Update(ctx, func(tx tallygate.Tx) error {
			for _, t := range batch {
				if err := tx.TouchKey(t.id, time.Unix(0, t.at).UTC()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			s.log.WarnContext(ctx, "the last use of keys is not written yet", "keys", len(batch)+len(all), "err", err)
			return
		}
		for _, t := range batch {
			t.written.Store(t.at)
		}
	}
}
