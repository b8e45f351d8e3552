package queue_test

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/tallygate/tallygate"
)

// countingStore counts updates.
type countingStore struct {
	tallygate.Store
	updates atomic.Int64
}

func (s *countingStore) Update(ctx context.Context, fn func(tallygate.Tx) error) error {
	s.updates.Add(1)
	return s.Store.Update(ctx, fn)
}

// badCommit is a store whose next commit fails, before or after it has reached the disk.
type badCommit struct {
	tallygate.Store
	landed, failing bool
}

func (s *badCommit) Update(ctx context.Context, fn func(tallygate.Tx) error) error {
	if !s.failing {
		return s.Store.Update(ctx, fn)
	}
	s.failing = false
	lost := &tallygate.Error{Code: tallygate.DatabaseError, Err: tallygate.ErrCommit{Cause: errors.New("connection reset")}}
	err := s.Store.Update(ctx, func(tx tallygate.Tx) error {
		if err := fn(tx); err != nil || s.landed {
			return err
		}
		return lost
	})
	if err != nil {
		return err
	}
	return lost
}

// afterStore does something once, after its next update has been committed and before the caller knows.
type afterStore struct {
	tallygate.Store
	after func()
}

func (s *afterStore) Update(ctx context.Context, fn func(tallygate.Tx) error) error {
	err := s.Store.Update(ctx, fn)
	if after := s.after; after != nil {
		s.after = nil
		after()
	}
	return err
}
