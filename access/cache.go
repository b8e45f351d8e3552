package access

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate"
)

// staleAfter is the bound within which a revocation, suspension or other change holds everywhere: without news of the
// revision for so long, nothing in the cache is believed.
const staleAfter = 2 * time.Second

// cache keeps callers by their key, and keys that do not exist, as they were at the known revision or later. Both kinds
// are bounded apart, so that a flood of unknown keys pushes out no known one.
//
// Three rules keep it true. A change made in this process takes its client's callers out before the change is answered.
// A change made elsewhere raises the revision, and whoever sees it moved drops everything. And a lookup that overlaps
// either leaves nothing behind, because the epoch that it began in is over.
type cache struct {
	seed   maphash.Seed
	shards [32]cacheShard
	most   int // of either kind in one shard

	epoch atomic.Uint64

	mu    sync.Mutex // of known and of raising news
	known int64      // the revision
	start time.Time  // news counts from here, so that the monotonic clock is used
	news  atomic.Int64
}

type cacheShard struct {
	mu      sync.RWMutex
	callers map[string]*Caller  // by the key ID without its prefix
	unknown map[string]struct{} // likewise
}

func newCache(size int, start time.Time) *cache {
	c := &cache{seed: maphash.MakeSeed(), start: start}
	c.most = max(1, size/len(c.shards))
	c.news.Store(-int64(staleAfter))
	for i := range c.shards {
		c.shards[i].clear()
	}
	return c
}

func (sh *cacheShard) clear() {
	sh.callers = map[string]*Caller{}
	sh.unknown = map[string]struct{}{}
}

func (sh *cacheShard) forget(client tallygate.ClientID) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for body, caller := range sh.callers {
		if caller.Client.ID == client {
			delete(sh.callers, body)
		}
	}
}

func (c *cache) shard(body string) *cacheShard {
	return &c.shards[maphash.String(c.seed, body)%uint64(len(c.shards))]
}

// fresh reports whether the last news is recent enough to believe what is kept.
func (c *cache) fresh(now time.Time) bool { return c.age(now) < staleAfter }

// age is how old the last news is.
func (c *cache) age(now time.Time) time.Duration {
	return now.Sub(c.start) - time.Duration(c.news.Load())
}

// get finds a key by its ID without the prefix. A key known not to exist is found as nil.
func (c *cache) get(body string) (caller *Caller, found bool) {
	sh := c.shard(body)
	sh.mu.RLock()
	if caller, found = sh.callers[body]; !found {
		_, found = sh.unknown[body]
	}
	sh.mu.RUnlock()
	return caller, found
}

// put keeps what a lookup found, unless something changed since the epoch in which the lookup began. A nil caller
// stands for a key that does not exist.
func (c *cache) put(body string, caller *Caller, epoch uint64) {
	sh := c.shard(body)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if c.epoch.Load() != epoch {
		return
	}
	if caller == nil {
		makeRoom(sh.unknown, c.most)
		sh.unknown[body] = struct{}{}
		return
	}
	makeRoom(sh.callers, c.most)
	sh.callers[body] = caller
}

// makeRoom takes an arbitrary entry out of a full map; whoever needs it again looks it up again.
func makeRoom[V any](m map[string]V, most int) {
	for body := range m {
		if len(m) < most {
			return
		}
		delete(m, body)
	}
}

// observe takes in the revision that was asked for at the time. Any other than the known one, also a lower one, drops
// everything. So does the first after a silence: the database may be another since, which has lost the last revisions
// and given their numbers anew.
func (c *cache) observe(revision int64, asked time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if revision != c.known || !c.fresh(asked) {
		c.known = revision
		c.epoch.Add(1)
		for i := range c.shards {
			sh := &c.shards[i]
			sh.mu.Lock()
			sh.clear()
			sh.mu.Unlock()
		}
	}
	c.news.Store(max(c.news.Load(), int64(asked.Sub(c.start))))
}

// forget takes out the client's callers and the key after a change in this process; no client is named where none of
// its keys can be kept. revision is the one that the change was committed with, 0 where that is not certain. If it is
// next to the known one, nothing else has changed and the rest stays.
func (c *cache) forget(client tallygate.ClientID, key tallygate.KeyID, revision int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch.Add(1)
	if client != "" {
		for i := range c.shards {
			c.shards[i].forget(client)
		}
	}
	if body := strings.TrimPrefix(string(key), tallygate.KeyPrefix); body != "" {
		sh := c.shard(body)
		sh.mu.Lock()
		delete(sh.unknown, body)
		sh.mu.Unlock()
	}
	if revision == c.known+1 {
		c.known = revision
	}
}
