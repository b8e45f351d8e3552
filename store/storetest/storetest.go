// Package storetest is the suite that every store passes: what each interface of tallygate.Tx promises, that an Update
// is all or nothing however many share its transaction, and that the audit finds what breaks the ledger. It knows no
// engine and reads no tables.
package storetest

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
)

// Run runs the suite. open makes an empty store of its own for the test and closes it in the test's cleanup; now is
// the clock of a store that has none of its own.
func Run(t *testing.T, open func(t *testing.T, now func() time.Time) tallygate.Store) {
	for _, noun := range []struct {
		name  string
		cases []testCase
	}{
		{"clients", clientCases},
		{"keys", keyCases},
		{"entries", entryCases},
		{"job types", jobTypeCases},
		{"jobs", jobCases},
		{"queue", queueCases},
		{"events", eventCases},
		{"idempotency", idempotencyCases},
		{"usage", usageCases},
		{"transactions", transactionCases},
		{"audit", slices.Concat(auditCases, violationCases())},
	} {
		t.Run(noun.name, func(t *testing.T) {
			for _, c := range noun.cases {
				t.Run(c.name, func(t *testing.T) {
					t.Parallel()
					c.run(&fixture{TB: t, store: open(t, func() time.Time { return noon }), ids: new(tallygate.IDs)})
				})
			}
		})
	}
}

type testCase struct {
	name string
	run  func(f *fixture)
}

// noon is the tests' time.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// fixture is a fresh store and what makes things for it.
type fixture struct {
	testing.TB
	store tallygate.Store
	ids   *tallygate.IDs
}

// update runs fn in a transaction that must succeed. fn runs on another goroutine, so it returns errors.
func (f *fixture) update(fn func(tx tallygate.Tx) error) {
	f.Helper()
	if err := f.store.Update(context.Background(), fn); err != nil {
		f.Fatal("update:", err)
	}
}

func (f *fixture) view(fn func(tx tallygate.Tx) error) {
	f.Helper()
	if err := f.store.View(context.Background(), fn); err != nil {
		f.Fatal("view:", err)
	}
}

// seen checks what is read, in a View and in an Update: rows that an engine keeps between transactions must be those
// that the database holds.
func seen[T any](f *fixture, what string, want T, read func(tx tallygate.Tx) (T, error)) {
	f.Helper()
	for _, in := range []struct {
		name string
		run  func(context.Context, func(tallygate.Tx) error) error
	}{{"view", f.store.View}, {"update", f.store.Update}} {
		var got T
		err := in.run(context.Background(), func(tx tallygate.Tx) (err error) {
			got, err = read(tx)
			return err
		})
		if err != nil {
			f.Errorf("%s in a %s: %v", what, in.name, err)
		} else if !same(got, want) {
			f.Errorf("%s in a %s:\n got %s\nwant %s", what, in.name, show(got), show(want))
		}
	}
}

// same is deep equality that takes no list and an empty list for the same.
func same(a, b any) bool {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	if va.IsValid() && va.Kind() == reflect.Slice && va.Len() == 0 && vb.Len() == 0 {
		return true
	}
	return reflect.DeepEqual(a, b)
}

// filled fails when a field of the struct is zero, so that a new field cannot escape the round trips.
func filled(f *fixture, v any, except ...string) {
	f.Helper()
	s := reflect.Indirect(reflect.ValueOf(v))
	for i := range s.NumField() {
		name := s.Type().Field(i).Name
		if !slices.Contains(except, name) && s.Field(i).IsZero() {
			f.Errorf("the test leaves %s.%s empty", s.Type(), name)
		}
	}
}
