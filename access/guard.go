package access

import (
	"context"

	"github.com/tallygate/tallygate"
)

type (
	callerKey struct{}
	parkedKey struct{}
)

// WithCaller marks what is done under the context as the caller's, for a guarded store. A nil caller stands for the
// server itself.
func WithCaller(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// Parked marks the context of a call that goes on long after it was admitted, such as a wait or a stream: a guarded
// store decides again about its reads, too.
func Parked(ctx context.Context) context.Context {
	return context.WithValue(ctx, parkedKey{}, true)
}

// callerOf returns whose the context is, nil where it is nobody's.
func callerOf(ctx context.Context) *Caller {
	c, _ := ctx.Value(callerKey{}).(*Caller)
	return c
}

// Refused reports whether the error is that of a caller who may no longer call, rather than another failure of what was
// done for the caller.
func Refused(err error) bool {
	if err == nil {
		return false
	}
	switch tallygate.AsError(err).Code {
	case tallygate.InvalidAPIKey, tallygate.RevokedAPIKey, tallygate.ExpiredAPIKey, tallygate.SuspendedAccount, tallygate.InsufficientPermissions:
		return true
	}
	return false
}

// guarded is a store that decides again about callers.
type guarded struct {
	tallygate.Store
	access *Service
}

// Guard returns the store for the rooms that act for callers: a write under a caller's context, and a read under a
// parked one, first decides again about the caller inside its transaction, and fails with that refusal before anything
// else is done. What has no caller passes. The service itself needs no guard: its changes decide again by themselves.
func (s *Service) Guard(store tallygate.Store) tallygate.Store { return &guarded{store, s} }

func (g *guarded) Update(ctx context.Context, fn func(tallygate.Tx) error) error {
	if c := callerOf(ctx); c != nil {
		fn = g.recheckFirst(c, fn)
	}
	return g.Store.Update(ctx, fn)
}

func (g *guarded) View(ctx context.Context, fn func(tallygate.Tx) error) error {
	if ctx.Value(parkedKey{}) != nil {
		if c := callerOf(ctx); c != nil {
			fn = g.recheckFirst(c, fn)
		}
	}
	return g.Store.View(ctx, fn)
}

func (g *guarded) recheckFirst(c *Caller, fn func(tallygate.Tx) error) func(tallygate.Tx) error {
	return func(tx tallygate.Tx) error {
		if _, err := g.access.Recheck(tx, c); err != nil {
			return err
		}
		return fn(tx)
	}
}
