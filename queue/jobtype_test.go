package queue_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

func TestEveryFaultOfADefinitionIsNamed(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*tallygate.JobType)
		want   []string // pointers
	}{
		{"the defaults", func(*tallygate.JobType) {}, nil},
		{"no name", func(t *tallygate.JobType) { t.Name = "" }, []string{"/name"}},
		{"a name with capitals", func(t *tallygate.JobType) { t.Name = "Text" }, []string{"/name"}},
		{"a name that begins with a dot", func(t *tallygate.JobType) { t.Name = ".text" }, []string{"/name"}},
		{"the longest name", func(t *tallygate.JobType) { t.Name = strings.Repeat("x", 64) }, nil},
		{"a longer name", func(t *tallygate.JobType) { t.Name = strings.Repeat("x", 65) }, []string{"/name"}},
		{"a long description", func(t *tallygate.JobType) { t.Description = strings.Repeat("x", 2001) }, []string{"/description"}},
		{"a schema that is none", func(t *tallygate.JobType) { t.InputSchema = []byte(`{"type":"strange"}`) }, []string{"/input_schema"}},
		{"a schema that refers elsewhere", func(t *tallygate.JobType) { t.InputSchema = []byte(`{"$ref":"file:///etc/passwd"}`) }, []string{"/input_schema"}},
		{"negative prices", func(t *tallygate.JobType) {
			t.Price = tallygate.Price{Base: -1, Units: map[string]tallygate.UnitPrice{"page": {Price: -1, Max: -1}}}
		}, []string{"/price/base", "/price/units/page/max", "/price/units/page/price"}},
		{"units with odd names", func(t *tallygate.JobType) {
			t.Price.Units = map[string]tallygate.UnitPrice{"Page": {}, "a/b~c": {Max: -1}, "": {}}
		}, []string{"/price/units/", "/price/units/Page", "/price/units/a~1b~0c", "/price/units/a~1b~0c/max"}},
		{"a quote past all money", func(t *tallygate.JobType) {
			t.Price.Units = map[string]tallygate.UnitPrice{"page": {Price: tallygate.MaxMoney / 2, Max: 3}}
		}, []string{"/price"}},
		{"no executor", func(t *tallygate.JobType) { t.Executor.Kind = "" }, []string{"/executor/kind"}},
		{"an upstream without a URL", func(t *tallygate.JobType) { t.Executor.Kind = tallygate.ExecutorHTTP }, []string{"/executor/url"}},
		{"an upstream that is a file", func(t *tallygate.JobType) {
			t.Executor.Kind, t.Executor.URL = tallygate.ExecutorHTTP, "file:///etc/passwd"
		}, []string{"/executor/url"}},
		{"an upstream with a password in its URL", func(t *tallygate.JobType) {
			t.Executor.Kind, t.Executor.URL = tallygate.ExecutorHTTP, "http://user:pass@worker.example/"
		}, []string{"/executor/url"}},
		{"an upstream with a long timeout", func(t *tallygate.JobType) {
			t.Executor = tallygate.Executor{Kind: tallygate.ExecutorHTTP, URL: "http://worker.example", Timeout: 2 * time.Hour}
		}, []string{"/executor/timeout"}},
		{"a handler that is not there", func(t *tallygate.JobType) {
			t.Executor = tallygate.Executor{Kind: tallygate.ExecutorBuiltin, Handler: "image.resize"}
		}, []string{"/executor/handler"}},
		{"a handler that is", func(t *tallygate.JobType) {
			t.Executor = tallygate.Executor{Kind: tallygate.ExecutorBuiltin, Handler: "image.thumbnail"}
		}, nil},
		{"limits that are too low", func(t *tallygate.JobType) {
			t.MaxAttempts, t.AttemptTimeout, t.TimeLimit, t.Lease, t.RunningJobs, t.Retention = 0, time.Millisecond, time.Millisecond, time.Millisecond, -1, time.Second
		}, []string{"/attempt_timeout", "/lease", "/max_attempts", "/retention", "/running_jobs", "/time_limit"}},
		{"limits that are too high", func(t *tallygate.JobType) {
			t.MaxAttempts, t.AttemptTimeout, t.TimeLimit, t.Lease = 101, 25*time.Hour, 721*time.Hour, 2*time.Hour
		}, []string{"/attempt_timeout", "/lease", "/max_attempts", "/time_limit"}},
		{"an unknown cancel charge", func(t *tallygate.JobType) { t.CancelCharge = "half" }, []string{"/cancel_charge"}},
		{"clients that are none", func(t *tallygate.JobType) {
			t.Clients = []tallygate.ClientID{tallygate.OperatorClientID, "acme"}
		}, []string{"/clients/1"}},
	} {
		definition := queue.Defaults()
		definition.Name = "text.stats"
		c.change(&definition)
		var got []string
		for _, fault := range queue.CheckType(&definition, []string{"image.thumbnail"}) {
			got = append(got, fault.Pointer)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: faults at %q, want %q", c.name, got, c.want)
		}
	}
}

// define defines a type and returns it.
func (w *world) define(name string, change func(*tallygate.JobType)) *tallygate.JobType {
	w.Helper()
	definition := queue.Defaults()
	definition.Name = name
	change(&definition)
	defined, err := w.queue.DefineType(context.Background(), definition, "key_op")
	if err != nil {
		w.Fatal(err)
	}
	return defined
}

func TestAPriceKeepsItsVersionUntilItChanges(t *testing.T) {
	w := testWorld(t)
	var revision int64
	for i, step := range []struct {
		base, description string
		version           int64
		changed           bool
	}{
		{"0.10", "a", 1, true},
		{"0.10", "a", 1, false}, // the same once more
		{"0.10", "b", 1, true},  // another description
		{"0.20", "b", 2, true},
		{"0.10", "b", 3, true}, // an old price is a new version
	} {
		w.clock.Advance(time.Second)
		defined := w.define("x", func(t *tallygate.JobType) { t.Price.Base, t.Description = amount(step.base), step.description })
		if defined.PriceVersion != step.version || (defined.Revision > revision) != step.changed {
			t.Errorf("step %d: version %d, revision %d after %d", i, defined.PriceVersion, defined.Revision, revision)
		}
		if changed := defined.UpdatedAt.Equal(w.clock.Now()); changed != step.changed {
			t.Errorf("step %d: updated at %s", i, defined.UpdatedAt)
		}
		revision = defined.Revision
		if known, err := w.queue.Type(t.Context(), "x"); err != nil || known.Revision != revision {
			t.Errorf("step %d: it is known as %+v, %v", i, known, err)
		}
	}
	if created := w.define("x", func(t *tallygate.JobType) { t.Description = "c" }).CreatedAt; !created.Equal(newClock().Now().Add(time.Second)) {
		t.Errorf("it was created at %s", created)
	}
}

func TestATypeWithLiveJobsIsNotDeleted(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", priced("0.10", tallygate.CancelChargeNone))
	c := w.client("10.00", nil)
	del := func() error { return w.queue.DeleteType(t.Context(), "x", "key_op") }
	id := w.submit(c, asked("x"))[0].ID
	if err := del(); !tallygate.IsCode(err, tallygate.InvalidRequest) {
		t.Errorf("with a queued job: %v", err)
	}
	l := w.start("x")
	if err := del(); !tallygate.IsCode(err, tallygate.InvalidRequest) {
		t.Errorf("with a running job: %v", err)
	}
	w.tell(l, success)
	if err := del(); err != nil {
		t.Errorf("without live jobs: %v", err)
	}
	w.stands(id, tallygate.JobSucceeded) // what has ended stays
	if err := del(); !tallygate.IsCode(err, tallygate.ResourceNotFound) {
		t.Errorf("once more: %v", err)
	}
	w.refuse(tallygate.ResourceNotFound, submission(c, asked("x")))
	if _, err := w.queue.Lease(t.Context(), queue.LeaseRequest{Types: []string{"x"}}); !tallygate.IsCode(err, tallygate.InvalidParameter) {
		t.Errorf("a lease: %v", err)
	}
	if again := w.define("x", priced("0.10", tallygate.CancelChargeNone)); again.PriceVersion != 2 {
		t.Errorf("defined again its price has version %d", again.PriceVersion)
	}
	w.owns(c, "9.90", "0.00")
	var kinds []string
	events, err := w.queue.AuditEvents(t.Context(), tallygate.Page{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		kinds = append(kinds, e.Kind)
		if e.Subject != "x" {
			t.Errorf("an event of %q", e.Subject)
		}
	}
	if !slices.Equal(kinds, []string{tallygate.EventTypeDefined, tallygate.EventTypeDeleted, tallygate.EventTypeDefined}) {
		t.Errorf("the trail is %q", kinds)
	}
}

func TestAnUpstreamsSecretStaysUnlessItIsNamed(t *testing.T) {
	w := testWorld(t)
	upstream := func(secret, description string) func(*tallygate.JobType) {
		return func(t *tallygate.JobType) {
			t.Description = description
			t.Executor = tallygate.Executor{Kind: tallygate.ExecutorHTTP, URL: "http://worker.example", Timeout: time.Second, Secret: secret}
		}
	}
	for _, step := range []struct{ secret, description, want string }{
		{"", "a", ""}, {queue.NoSecret, "a", ""}, {"first", "a", "first"}, {"", "a", "first"}, {"", "b", "first"},
		{"second", "b", "second"}, {"", "c", "second"}, {queue.NoSecret, "c", ""}, {"", "c", ""}, {"third", "c", "third"},
	} {
		if got := w.define("x", upstream(step.secret, step.description)).Executor.Secret; got != step.want {
			t.Errorf("%+v: the secret is %q", step, got)
		}
	}
	if got := w.define("x", func(*tallygate.JobType) {}).Executor.Secret; got != "" {
		t.Errorf("a type that calls nobody has the secret %q", got)
	}
}

func TestWhoFollowsTheTypesIsToldOfChanges(t *testing.T) {
	w := testWorld(t)
	told := func() bool {
		select {
		case <-w.queue.TypesChanged():
			return true
		default:
			return false
		}
	}
	if told() {
		t.Error("nothing has changed yet")
	}
	w.jobType("x", nil)
	w.jobType("y", nil)
	if !told() || told() {
		t.Error("two definitions were not told once")
	}
	if err := w.queue.DeleteType(t.Context(), "y", ""); err != nil || !told() {
		t.Errorf("a deletion was not told: %v", err)
	}
	w.begin(w.client("1.00", nil), "x")
	if told() {
		t.Error("a job was told as a change of its type")
	}
}

func TestTypesAreListedByName(t *testing.T) {
	w := testWorld(t)
	for _, name := range []string{"b", "a", "c"} {
		w.jobType(name, nil)
	}
	types, err := w.queue.Types(t.Context())
	if err != nil || len(types) != 3 || types[0].Name+types[1].Name+types[2].Name != "abc" {
		t.Errorf("%d types, %v", len(types), err)
	}
}
