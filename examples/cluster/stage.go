package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
)

// stage is what testserver's servers live on here, where there is no test: it tells of their failures and ends them.
type stage struct {
	testing.TB // nil: the servers ask for nothing but what is below
	ends       []func()
}

// failure is what the servers give up with.
type failure struct{ error }

func (s *stage) Helper()                  {}
func (s *stage) Context() context.Context { return context.Background() }
func (s *stage) Cleanup(end func())       { s.ends = append(s.ends, end) }
func (s *stage) Error(args ...any)        { fmt.Fprintln(os.Stderr, args...) }
func (s *stage) Fatal(args ...any)        { panic(failure{errors.New(fmt.Sprint(args...))}) }
func (s *stage) Fatalf(format string, args ...any) {
	panic(failure{fmt.Errorf(format, args...)})
}
func (s *stage) Skipf(_ string, args ...any) { s.Fatal(args...) } // something is not installed

// try does what may fail.
func (s *stage) try(do func()) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failure:
			err = p.error
		default:
			panic(p)
		}
	}()
	do()
	return nil
}

// end ends the servers, the last first.
func (s *stage) end() {
	for _, end := range slices.Backward(s.ends) {
		if err := s.try(end); err != nil {
			s.Error(err)
		}
	}
	s.ends = nil
}
