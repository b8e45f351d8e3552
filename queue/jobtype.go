package queue

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/tallygate/tallygate"
)

// knownType is a job type with its schema compiled.
type knownType struct {
	*tallygate.JobType
	schema *jsonschema.Schema // nil: anything goes
}

func (k *knownType) check(at string, input []byte) Faults {
	if k.schema == nil {
		return nil
	}
	return checkInput(k.schema, at, input)
}

// typeCache keeps the job types that were asked for. A transaction that finds another revision forgets them.
type typeCache struct {
	changed   chan struct{} // holds one once something was forgotten
	mu        sync.RWMutex
	byName    map[string]*knownType
	forgotten int // how often something was; a look that began before must not be kept
}

// get returns the type, or nil where there is none.
func (c *typeCache) get(ctx context.Context, store tallygate.Store, name string) (*knownType, error) {
	c.mu.RLock()
	known, forgotten := c.byName[name], c.forgotten
	c.mu.RUnlock()
	if known != nil {
		return known, nil
	}
	var t *tallygate.JobType
	err := store.View(ctx, func(tx tallygate.Tx) (err error) {
		t, err = tx.JobType(name)
		return err
	})
	if err != nil || t == nil {
		return nil, err
	}
	known = &knownType{JobType: t}
	if len(t.InputSchema) > 0 {
		if known.schema, err = compileSchema(t.InputSchema); err != nil {
			return nil, fmt.Errorf("job type %s: stored input schema: %w", name, err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byName == nil {
		c.byName = map[string]*knownType{}
	}
	if c.forgotten == forgotten {
		c.byName[name] = known
	}
	return known, nil
}

func (c *typeCache) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byName, name)
	c.forgot()
}

// forgetAll is for changes made elsewhere.
func (c *typeCache) forgetAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byName = nil
	c.forgot()
}

// forgot has looks that began before not be kept, and tells who follows the types. The caller holds mu.
func (c *typeCache) forgot() {
	c.forgotten++
	select {
	case c.changed <- struct{}{}:
	default: // it holds one already
	}
}

// TypesChanged returns a channel that holds a value after a job type was defined or deleted here, and after one was seen
// to have changed elsewhere. It is for one reader.
func (s *Service) TypesChanged() <-chan struct{} { return s.types.changed }

// Type returns the job type, or RESOURCE_NOT_FOUND.
func (s *Service) Type(ctx context.Context, name string) (*tallygate.JobType, error) {
	known, err := s.types.get(ctx, s.store, name)
	if err != nil {
		return nil, err
	}
	if known == nil {
		return nil, s.store.View(ctx, func(tx tallygate.Tx) error { return s.noType(tx, name) })
	}
	return known.JobType, nil
}

// Types lists every job type by name.
func (s *Service) Types(ctx context.Context) (types []*tallygate.JobType, err error) {
	err = s.store.View(ctx, func(tx tallygate.Tx) error {
		types, err = tx.JobTypes()
		return err
	})
	return types, err
}

func (s *Service) noType(tx tallygate.Tx, name string) error {
	types, err := tx.JobTypes()
	if err != nil {
		return err
	}
	names := make([]string, 0, len(types))
	for _, t := range types {
		if t.Clients == nil {
			names = append(names, t.Name)
		}
	}
	hint := ""
	if near := tallygate.Nearest(name, names); near != "" {
		hint = fmt.Sprintf("; did you mean %q?", near)
	}
	return tallygate.Errorf(tallygate.ResourceNotFound, "there is no job type %.64q%s", name, hint)
}

// Defaults of a job type for what its definition leaves out.
func Defaults() tallygate.JobType {
	return tallygate.JobType{
		Executor:       tallygate.Executor{Kind: tallygate.ExecutorPull, Timeout: 30 * time.Second},
		MaxAttempts:    3,
		AttemptTimeout: 5 * time.Minute,
		TimeLimit:      time.Hour,
		Lease:          30 * time.Second,
		CancelCharge:   tallygate.CancelChargeNone,
		Retention:      720 * time.Hour,
	}
}

var (
	typeName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,63}$`)
	unitName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,31}$`)
)

// CheckType returns what is wrong with a definition. handlers are the builtin ones there are.
func CheckType(t *tallygate.JobType, handlers []string) Faults {
	var faults Faults
	wrong := func(bad bool, pointer, format string, args ...any) {
		if bad {
			faults = append(faults, Fault{Pointer: pointer, Text: fmt.Sprintf(format, args...)})
		}
	}
	wrong(!typeName.MatchString(t.Name), "/name", "must be 1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or digit")
	wrong(utf8.RuneCountInString(t.Description) > 2000, "/description", "must be at most 2000 characters")
	if len(t.InputSchema) > 0 {
		_, err := compileSchema(t.InputSchema)
		wrong(err != nil, "/input_schema", "is not a JSON Schema (2020-12): %s", schemaFault(err))
	}
	wrong(t.Price.Base < 0, "/price/base", "must not be negative")
	for name, u := range t.Price.Units {
		at := pointerTo([]string{"price", "units", name})
		wrong(!unitName.MatchString(name), at, "must be named by a-z, 0-9 and '_', at most 32, beginning with a letter")
		wrong(u.Price < 0, at+"/price", "must not be negative")
		wrong(u.Max < 0, at+"/max", "must not be negative")
	}
	wrong(t.Price.Quote() >= tallygate.MaxMoney, "/price", "the most that a job may cost is too large")
	faults = append(faults, checkExecutor(t.Executor, handlers)...)
	wrong(t.MaxAttempts < 1 || t.MaxAttempts > 100, "/max_attempts", "must be from 1 to 100")
	wrong(t.AttemptTimeout < time.Second || t.AttemptTimeout > 24*time.Hour, "/attempt_timeout", "must be from 1s to 24h")
	wrong(t.TimeLimit < time.Second || t.TimeLimit > 720*time.Hour, "/time_limit", "must be from 1s to 720h")
	wrong(t.Lease < time.Second || t.Lease > time.Hour, "/lease", "must be from 1s to 1h")
	wrong(t.RunningJobs < 0, "/running_jobs", "must be 1 or more, or null for no cap")
	wrong(t.Retention < time.Minute, "/retention", "must be 1m or more")
	wrong(!slices.Contains([]tallygate.CancelCharge{tallygate.CancelChargeNone, tallygate.CancelChargeBase, tallygate.CancelChargeHold}, t.CancelCharge),
		"/cancel_charge", `must be "none", "base" or "hold"`)
	for i, c := range t.Clients {
		wrong(!tallygate.ValidID(tallygate.ClientPrefix, string(c)), fmt.Sprintf("/clients/%d", i), "must be a client's id")
	}
	slices.SortFunc(faults, func(a, b Fault) int { return strings.Compare(a.Pointer, b.Pointer) })
	return faults
}

func checkExecutor(e tallygate.Executor, handlers []string) Faults {
	switch e.Kind {
	case tallygate.ExecutorPull:
	case tallygate.ExecutorHTTP:
		u, err := url.Parse(e.URL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return Faults{{Pointer: "/executor/url", Text: "must be an http or https URL"}}
		}
		if u.User != nil {
			return Faults{{Pointer: "/executor/url", Text: "must hold no user and password, since whoever reads job types sees it: set executor.secret, which signs the calls and is never shown"}}
		}
		if text, signed := strings.CutPrefix(e.Secret, "whsec_"); signed {
			if key, err := base64.StdEncoding.DecodeString(text); err != nil || len(key) < 16 {
				return Faults{{Pointer: "/executor/secret", Text: "must be whsec_ and the base64 of at least 16 bytes, or a text without that prefix"}}
			}
		}
		if e.Timeout < 100*time.Millisecond || e.Timeout > time.Hour {
			return Faults{{Pointer: "/executor/timeout", Text: "must be from 100ms to 1h"}}
		}
	case tallygate.ExecutorBuiltin:
		if !slices.Contains(handlers, e.Handler) {
			return Faults{{Pointer: "/executor/handler", Text: fmt.Sprintf("must be a registered handler: %s", orNone(strings.Join(handlers, ", ")))}}
		}
	default:
		return Faults{{Pointer: "/executor/kind", Text: `must be "pull", "http" or "builtin"`}}
	}
	return nil
}

// NoSecret is the secret of an executor that is to have none. An empty one, since it is never shown, stands for the one
// that is stored.
const NoSecret = "\x00"

// secret is what an executor is to sign its calls with, given the type before.
func secret(e tallygate.Executor, before *tallygate.JobType) string {
	switch {
	case e.Kind != tallygate.ExecutorHTTP || e.Secret == NoSecret:
		return ""
	case e.Secret == "" && before != nil:
		return before.Executor.Secret
	}
	return e.Secret
}

// DefineType adds or replaces a job type. A definition that changes nothing writes nothing; a new price gets a new
// version and leaves the jobs that were submitted under an old one alone.
func (s *Service) DefineType(ctx context.Context, t tallygate.JobType, actor tallygate.KeyID) (*tallygate.JobType, error) {
	if err := CheckType(&t, s.opt.Handlers).Err(); err != nil {
		return nil, err
	}
	if len(t.Price.Units) == 0 {
		t.Price.Units = nil
	}
	t.Price.CancelCharge = t.CancelCharge
	var defined tallygate.JobType
	err := s.store.Update(ctx, func(tx tallygate.Tx) error {
		defined = t
		before, err := tx.JobType(t.Name)
		if err != nil {
			return err
		}
		defined.Executor.Secret = secret(t.Executor, before)
		if before != nil && sameDefinition(*before, defined) {
			defined = *before
			return nil
		}
		return define(tx, before, &defined, actor)
	})
	if err != nil {
		return nil, err
	}
	s.types.forget(t.Name)
	s.ready.wake(t.Name, 1)
	return &defined, nil
}

func define(tx tallygate.Tx, before, t *tallygate.JobType, actor tallygate.KeyID) error {
	newest, err := tx.NewestPriceVersion(t.Name)
	if err != nil {
		return err
	}
	t.CreatedAt, t.UpdatedAt = tx.Now(), tx.Now()
	if before != nil {
		t.CreatedAt = before.CreatedAt
	}
	if before != nil && reflect.DeepEqual(before.Price, t.Price) {
		t.PriceVersion = before.PriceVersion
	} else {
		t.PriceVersion = newest + 1
		if err := tx.SavePrice(t.Name, t.PriceVersion, t.Price); err != nil {
			return err
		}
	}
	if t.Revision, err = tx.RaiseRevision(); err != nil {
		return err
	}
	if err := tx.SaveJobType(t); err != nil {
		return err
	}
	return tx.InsertEvent(&tallygate.Event{Kind: tallygate.EventTypeDefined, Subject: t.Name, Actor: actor, At: tx.Now(),
		Data: details("price_version", t.PriceVersion, "executor", t.Executor.Kind)})
}

// sameDefinition compares what a definition says, not what the server adds to it.
func sameDefinition(a, b tallygate.JobType) bool {
	b.PriceVersion, b.Revision, b.CreatedAt, b.UpdatedAt = a.PriceVersion, a.Revision, a.CreatedAt, a.UpdatedAt
	return reflect.DeepEqual(a, b)
}

// DeleteType removes a job type that has no live jobs. Its ended jobs stay.
func (s *Service) DeleteType(ctx context.Context, name string, actor tallygate.KeyID) error {
	err := s.store.Update(ctx, func(tx tallygate.Tx) error {
		t, err := tx.JobType(name)
		if err != nil {
			return err
		}
		if t == nil {
			return s.noType(tx, name)
		}
		load, err := tx.TypeLoad(name)
		if err != nil {
			return err
		}
		if load.Live > 0 {
			return tallygate.Errorf(tallygate.InvalidRequest, "job type %s has %d live jobs: wait for their end or cancel them first", name, load.Live)
		}
		if err := tx.DeleteJobType(name); err != nil {
			return err
		}
		if _, err := tx.RaiseRevision(); err != nil {
			return err
		}
		return tx.InsertEvent(&tallygate.Event{Kind: tallygate.EventTypeDeleted, Subject: name, Actor: actor, At: tx.Now()})
	})
	s.types.forget(name)
	return err
}
