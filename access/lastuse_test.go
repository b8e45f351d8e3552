package access

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store/enginetest"
)

// stored is when the key was last used as the store knows it.
func (h *house) stored(id tallygate.KeyID) (at time.Time) {
	h.Helper()
	h.must(h.store.Store.View(context.WithoutCancel(h.Context()), func(tx tallygate.Tx) error {
		k, err := tx.Key(id)
		if err == nil {
			at = k.LastUsedAt
		}
		return err
	}))
	return at
}

// TestLastUseIsToldByTheClockThatNodesShare: this machine's own may be off.
func TestLastUseIsToldByTheClockThatNodesShare(t *testing.T) {
	h := newHouse(t)
	k, text := h.key(h.client("Acme").ID, NewKey{})
	off := h.node(func(o *Options) {
		o.Now, o.Clock = func() time.Time { return h.clock.now().Add(30 * time.Second) }, h.clock.now
	})
	_, err := off.Authenticate(t.Context(), bearer(text), nil, here)
	h.must(err)
	off.flush(t.Context())
	if at := h.stored(k.ID); !at.Equal(in(0)) {
		t.Errorf("last used at %v, want %v", at, in(0))
	}
}

func TestLastUseIsReadAtOnceAndWrittenInBatches(t *testing.T) {
	h := newHouse(t)
	c := h.client("Acme")
	k, text := h.key(c.ID, NewKey{})
	_, err := h.service.Authenticate(t.Context(), bearer(FormatKey(k.ID, NewSecret())), nil, here)
	wantCode(t, err, tallygate.InvalidAPIKey)
	if at := h.read(k.ID).LastUsedAt; !at.IsZero() {
		t.Errorf("a failed call counts as a use, at %v", at)
	}

	h.clock.pass(time.Minute)
	h.caller(text)
	h.clock.pass(time.Minute)
	h.caller(text)
	keys, err := h.service.Keys(t.Context(), c.ID, tallygate.Page{Limit: 10})
	h.must(err)
	for _, at := range []time.Time{h.read(k.ID).LastUsedAt, keys[0].LastUsedAt} {
		if !at.Equal(in(2 * time.Minute)) {
			t.Errorf("last used at %v, want %v", at, in(2*time.Minute))
		}
	}
	if at := h.stored(k.ID); !at.IsZero() {
		t.Errorf("a use was written with the call, at %v", at)
	}

	h.store.failure.Store(tallygate.Errorf(tallygate.DatabaseError, "the disk is gone"))
	h.service.flush(t.Context())
	h.store.failure.Store(nil)
	h.service.flush(t.Context())
	if at := h.stored(k.ID); !at.Equal(in(2 * time.Minute)) {
		t.Errorf("written: %v, want %v", at, in(2*time.Minute))
	}
	updates := h.store.updates.Load()
	h.service.flush(t.Context())
	if h.store.updates.Load() != updates {
		t.Error("what is written already was written again")
	}
	for i := range h.service.uses.shards {
		if n := len(h.service.uses.shards[i].keys); n != 0 {
			t.Errorf("%d idle keys are still remembered", n)
		}
	}
	if at := h.read(k.ID).LastUsedAt; !at.Equal(in(2 * time.Minute)) {
		t.Errorf("read after it was forgotten: %v", at)
	}
}

func TestFlushWritesManyKeysInFewTransactions(t *testing.T) {
	h := newHouse(t)
	h.service.flush(t.Context()) // the operator's own
	for range flushBatch + 1 {
		h.service.uses.touch(tallygate.KeyID(new(tallygate.IDs).Next(tallygate.KeyPrefix, noon)), noon)
	}
	updates := h.store.updates.Load()
	h.service.flush(t.Context())
	if n := h.store.updates.Load() - updates; n != 2 {
		t.Errorf("%d transactions, want 2", n)
	}
}

func TestUsesOfOneKeyTogether(t *testing.T) {
	u := newUses()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				u.touch(sampleID, in(time.Duration(i*4+w)*useStep))
				if i%50 == 0 {
					u.unwritten()
				}
			}
		})
	}
	wg.Wait()
	k := &tallygate.APIKey{ID: sampleID}
	u.overlay(k)
	if want := in(1999 * useStep); !k.LastUsedAt.Equal(want) {
		t.Errorf("last used at %v, want %v", k.LastUsedAt, want)
	}
}

func TestRun(t *testing.T) {
	enginetest.Prepare(t)
	synctest.Test(t, func(t *testing.T) {
		h := &house{T: t, clock: newClock()}
		h.open()
		ctx, stop := context.WithCancel(t.Context())
		text, _, err := h.service.Bootstrap(ctx, "")
		h.must(err)
		h.operator = h.caller(text)
		c := h.client("Acme")
		k, text := h.key(c.ID, NewKey{})

		far := h.node(func(o *Options) { o.Now = time.Now })
		ended := make(chan error)
		go func() { ended <- far.Run(ctx) }()
		wait := func(d time.Duration) { // long enough for what is due then to be done
			time.Sleep(d)
			synctest.Wait()
		}
		authenticate := func() error {
			_, err := far.Authenticate(ctx, bearer(text), nil, here)
			return err
		}

		wait(time.Millisecond)
		views := h.store.views.Load()
		h.must(authenticate())
		h.must(h.suspend(c.ID))
		wait(followEvery)
		wantCode(t, authenticate(), tallygate.SuspendedAccount)
		_, err = h.service.ActivateClient(ctx, h.as(h.operator), c.ID, noBody)
		h.must(err)
		wait(followEvery)
		h.must(authenticate())
		used := time.Now()
		wait(10 * time.Minute)
		if asked := h.store.views.Load() - views; !far.cache.fresh(time.Now()) || asked < 1200 {
			t.Errorf("after ten minutes the store was asked for news %d times", asked)
		}
		if at := h.stored(k.ID); !at.Equal(used.UTC().Truncate(time.Microsecond)) {
			t.Errorf("last used at %v, want %v", at, used)
		}

		h.store.failure.Store(tallygate.Errorf(tallygate.DatabaseError, "the disk is gone"))
		wait(staleAfter + followEvery)
		wantCode(t, authenticate(), tallygate.DatabaseError)
		h.store.failure.Store(nil)
		wait(followEvery)
		h.must(authenticate())
		used = time.Now()
		stop()
		h.must(<-ended)
		if at := h.stored(k.ID); !at.Equal(used.UTC().Truncate(time.Microsecond)) {
			t.Errorf("the use before the end is written as %v, want %v", at, used)
		}
	})
}
