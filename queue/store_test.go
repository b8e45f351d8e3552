package queue_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/tallygate/tallygate"
)

// countingStore counts what is asked of it.
type countingStore struct {
	tallygate.Store
	updates, views atomic.Int64
}

func (s *countingStore) View(ctx context.Context, fn func(tallygate.Tx) error) error {
	s.views.Add(1)
	return s.Store.View(ctx, fn)
}

func (s *countingStore) Update(ctx context.Context, fn func(tallygate.Tx) error) error {
	s.updates.Add(1)
	return s.Store.Update(ctx, fn)
}

// readOnly is a store in which nothing can be written.
type readOnly struct{ tallygate.Store }

func (readOnly) Update(context.Context, func(tallygate.Tx) error) error {
	return tallygate.Errorf(tallygate.DatabaseError, "the disk is full")
}

// badCommit is a store whose next commit fails, before or after it has reached the disk, and which is away for some
// updates after it.
type badCommit struct {
	tallygate.Store
	landed, failing bool
	away            int
}

func (s *badCommit) Update(ctx context.Context, fn func(tallygate.Tx) error) error {
	switch {
	case s.failing:
		s.failing = false
	case s.away > 0:
		s.away--
		return tallygate.Errorf(tallygate.DatabaseError, "connection refused")
	default:
		return s.Store.Update(ctx, fn)
	}
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

// stallingStore is one that other nodes use, too. It tells of news once a second, and its next answer about events is on
// its way for as long as stall says.
type stallingStore struct {
	tallygate.Store
	stall atomic.Int64
	tell  func()
}

func (s *stallingStore) OnNews(fn func()) { s.tell = fn }
func (*stallingStore) Leads() bool        { return false }

func (s *stallingStore) LastEvents(ctx context.Context, ids []tallygate.JobID) (map[tallygate.JobID]int64, error) {
	last := map[tallygate.JobID]int64{}
	defer time.Sleep(time.Duration(s.stall.Swap(0))) // of a bubble's time
	return last, s.Store.View(ctx, func(tx tallygate.Tx) error {
		for _, id := range ids {
			o, err := tx.Outcome(id)
			if err != nil {
				return err
			}
			if last[id] = 0; o != nil {
				last[id] = o.Event
			}
		}
		return nil
	})
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
