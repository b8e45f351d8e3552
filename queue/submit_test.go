package queue_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

func TestASubmitHoldsTheQuoteAndAnswersWhatIsStored(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", func(t *tallygate.JobType) {
		t.Price = tallygate.Price{Base: amount("0.01"), Units: map[string]tallygate.UnitPrice{"page": {Price: amount("0.002"), Max: 100}}}
	})
	c := w.client("1.00", nil)
	submitted := w.submit(c, queue.Submission{
		Type: "x", Input: []byte(`{"a":1}`), Metadata: []byte(`{"env":"prod"}`), Priority: 3,
		RunAt: w.clock.Now().Add(time.Hour + 123456789*time.Nanosecond), TimeLimit: time.Minute,
	}, asked("x"))
	for i, j := range submitted {
		stored := w.job(j.ID)
		if !reflect.DeepEqual(j, stored) {
			t.Errorf("job %d was answered as\n%+v %+v, is stored as\n%+v %+v", i, j, j.Item, stored, stored.Item)
		}
	}
	first, second := submitted[0], submitted[1]
	if first.Held != amount("0.21") || first.PriceVersion != 1 || first.Priority != 3 || first.TimeLimit != time.Minute || first.MaxAttempts != 3 {
		t.Errorf("the job is %+v", first)
	}
	if second.TimeLimit != time.Hour || !second.RunAt.Equal(second.CreatedAt) {
		t.Errorf("the plain job is %+v", second)
	}
	w.owns(c, "1.00", "0.42")
	if got := w.account(c).Queued; got != 2 {
		t.Errorf("%d jobs are counted as queued", got)
	}
}

func TestASubmitIsAcceptedDownToTheFloor(t *testing.T) {
	for _, c := range []struct {
		name, credit string
		floor        tallygate.Money
		jobs         int
		accepted     bool
	}{
		{"exactly what is available", "1.00", 0, 10, true},
		{"one job too many", "1.00", 0, 11, false},
		{"down to the floor", "1.00", amount("0.50"), 5, true},
		{"below the floor", "1.00", amount("0.50"), 6, false},
		{"on credit", "0.00", amount("-0.30"), 3, true},
		{"past the credit", "0.00", amount("-0.30"), 4, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := testWorld(t)
			w.jobType("x", priced("0.10", tallygate.CancelChargeNone))
			client := w.client(c.credit, func(client *tallygate.Client) { client.MinimumBalance = c.floor })
			if c.accepted {
				w.submit(client, many(c.jobs, "x")...)
			} else {
				w.refuse(tallygate.InsufficientBalance, submission(client, many(c.jobs, "x")...))
			}
			w.audit()
		})
	}
}

func TestABatchIsAcceptedWholeOrNotAtAll(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", func(t *tallygate.JobType) { t.InputSchema = []byte(`{"type":"object","required":["a"]}`) })
	w.jobType("closed", func(t *tallygate.JobType) { t.Clients = []tallygate.ClientID{} })
	w.jobType("dear", priced("5.00", tallygate.CancelChargeNone))
	c := w.client("1.00", func(c *tallygate.Client) { c.Limits.QueuedJobs = 5 })
	good := queue.Submission{Type: "x", Input: []byte(`{"a":1}`), Metadata: []byte("{}")}
	for _, bad := range []struct {
		name string
		job  queue.Submission
		code tallygate.Code
		says string
	}{
		{"a fault in the input", asked("x"), tallygate.MissingParameter, "/jobs/2/input/a: is required"},
		{"an unknown type", asked("y"), tallygate.ResourceNotFound, `"y"`},
		{"a closed type", asked("closed"), tallygate.AuthorizationFailed, "closed"},
		{"too little money", asked("dear"), tallygate.InsufficientBalance, "5.002"},
	} {
		sub := submission(c, good, good, bad.job)
		sub.Batch = true
		if err := w.refuse(bad.code, sub); !strings.Contains(err.Message(), bad.says) {
			t.Errorf("%s: the message is %q", bad.name, err.Message())
		}
	}
	w.refuse(tallygate.RateLimitExceeded, submission(c, good, good, good, good, good, good))
	if jobs, _, err := w.queue.Jobs(t.Context(), tallygate.JobFilter{}, tallygate.Page{Limit: 10}); err != nil || len(jobs) > 0 {
		t.Errorf("%d jobs are left of what was refused, %v", len(jobs), err)
	}
	if jobs := w.submit(c, good, good, good); !slices.Equal(leased(w.lease(10, "x")), ids(jobs)) {
		t.Error("the batch does not run in its order")
	}
	w.audit()
}

func TestQueuedJobsAreLimited(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("10.00", func(c *tallygate.Client) { c.Limits.QueuedJobs = 3 })
	w.submit(c, many(3, "x")...)
	if err := w.refuse(tallygate.RateLimitExceeded, submission(c, asked("x"))); err.RetryAfter <= 0 || !err.Retry() {
		t.Errorf("the refusal does not say when to come back: %+v", err)
	}
	first := w.lease(1, "x")[0]
	w.submit(c, asked("x")) // the running one does not count
	w.refuse(tallygate.RateLimitExceeded, submission(c, asked("x")))
	w.tell(first, success)
	w.refuse(tallygate.RateLimitExceeded, submission(c, asked("x")))

	for name, change := range map[string]func(*tallygate.Client){
		"no limit": func(c *tallygate.Client) { c.Limits.QueuedJobs = 0 },
		"operator": func(c *tallygate.Client) { c.Limits.QueuedJobs = 1; c.Operator = true },
	} {
		if jobs := w.submit(w.client("10.00", change), many(200, "x")...); len(jobs) != 200 {
			t.Errorf("%s: %d jobs", name, len(jobs))
		}
	}
	w.audit()
}

func TestAMaxCostBelowTheQuoteIsRefused(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", priced("0.10", tallygate.CancelChargeNone))
	c := w.client("1.00", nil)
	cost := func(s string) queue.Submission {
		m, sub := amount(s), asked("x")
		sub.MaxCost = &m
		return sub
	}
	w.submit(c, cost("0.10"))
	if err := w.refuse(tallygate.InvalidParameter, submission(c, cost("0.099999"))); err.Field != "/max_cost" || !strings.Contains(err.Message(), "0.10") {
		t.Errorf("the refusal is %+v", err)
	}
	sub := submission(c, cost("0.10"), cost("0.00"))
	sub.Batch = true
	if err := w.refuse(tallygate.InvalidParameter, sub); err.Field != "/jobs/1/max_cost" {
		t.Errorf("the refusal is %+v", err)
	}
}

func TestAnUnknownTypeNamesTheNearestOneOpenToAll(t *testing.T) {
	w := testWorld(t)
	w.jobType("text.stats", nil)
	w.jobType("text.start", func(t *tallygate.JobType) { t.Clients = []tallygate.ClientID{} })
	c := w.client("1.00", nil)
	if err := w.refuse(tallygate.ResourceNotFound, submission(c, asked("text.stat"))); !strings.Contains(err.Message(), `did you mean "text.stats"`) {
		t.Errorf("the message is %q", err.Message())
	}
	if _, err := w.queue.Quote(t.Context(), c, asked("text.stat")); !tallygate.IsCode(err, tallygate.ResourceNotFound) {
		t.Errorf("a quote: %v", err)
	}
	if _, err := w.queue.Type(t.Context(), "audio"); !tallygate.IsCode(err, tallygate.ResourceNotFound) || strings.Contains(err.Error(), "did you mean") {
		t.Errorf("the type: %v", err)
	}
}

func TestAClosedTypeIsOpenToThoseItNamesAndToOperators(t *testing.T) {
	w := testWorld(t)
	named, other := w.client("1.00", nil), w.client("1.00", nil)
	operator := w.client("1.00", func(c *tallygate.Client) { c.Operator = true })
	w.jobType("x", func(t *tallygate.JobType) { t.Clients = []tallygate.ClientID{named.ID} })
	w.submit(named, asked("x"))
	w.submit(operator, asked("x"))
	w.refuse(tallygate.AuthorizationFailed, submission(other, asked("x")))
	if _, err := w.queue.Quote(t.Context(), other, asked("x")); !tallygate.IsCode(err, tallygate.AuthorizationFailed) {
		t.Errorf("a quote: %v", err)
	}
}

func TestAJobsTimeLimitIsAtMostItsTypes(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", func(t *tallygate.JobType) { t.TimeLimit = time.Minute })
	c := w.client("1.00", nil)
	for asks, want := range map[time.Duration]time.Duration{0: time.Minute, time.Second: time.Second, time.Hour: time.Minute} {
		sub := asked("x")
		sub.TimeLimit = asks
		if got := w.submit(c, sub)[0].TimeLimit; got != want {
			t.Errorf("asked for %s it is %s, want %s", asks, got, want)
		}
	}
}

func TestASubmitIsDecidedForTheClientAsItStandsInTheTransaction(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("1.00", nil)
	stale := *c
	stale.Balance.Posted = amount("1000.00")
	w.jobType("dear", priced("5.00", tallygate.CancelChargeNone))
	w.refuse(tallygate.InsufficientBalance, submission(&stale, asked("dear")))
	stale.ID = tallygate.ClientID(w.ids.Next(tallygate.ClientPrefix, w.clock.Now()))
	if _, _, err := w.queue.Submit(t.Context(), submission(&stale, asked("x"))); !tallygate.IsCode(err, tallygate.DatabaseError) {
		t.Errorf("a submit for a client that is not there: %v", err)
	}
}

func TestAQuoteMakesTheChecksOfASubmitAndWritesNothing(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", func(t *tallygate.JobType) {
		t.InputSchema = []byte(`{"type":"object","required":["a"]}`)
		t.Price.Base = amount("0.10")
	})
	c := w.client("0.00", nil)
	if _, err := w.queue.Quote(t.Context(), c, asked("x")); !tallygate.IsCode(err, tallygate.MissingParameter) || tallygate.AsError(err).Field != "/input/a" {
		t.Errorf("without a: %v", err)
	}
	jobType, err := w.queue.Quote(t.Context(), c, queue.Submission{Type: "x", Input: []byte(`{"a":1}`)})
	if err != nil || jobType.Price.Quote() != amount("0.10") {
		t.Errorf("quoted %+v, %v", jobType, err)
	}
	w.owns(c, "0.00", "0.00")
}

func TestConcurrentSubmitsHoldNoMoreThanThereIs(t *testing.T) {
	t.Parallel()
	w := testNodes(t, 3)
	w.jobType("x", priced("75.00", tallygate.CancelChargeNone))
	for round := range 100 {
		c := w.client("500.00", nil)
		var admitted, refused int
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				_, _, err := w.at(i).queue.Submit(context.Background(), submission(c, asked("x")))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					admitted++
				case tallygate.IsCode(err, tallygate.InsufficientBalance):
					refused++
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if admitted != 6 || refused != 14 {
			t.Fatalf("round %d: %d were admitted and %d refused", round, admitted, refused)
		}
		if b := w.account(c).Balance; b.Held != amount("450.00") || b.Posted != amount("500.00") {
			t.Fatalf("round %d: the balance is %+v", round, b)
		}
	}
	w.audit()
}

func TestATypeThatWasChangedElsewhereIsSeenAtSubmit(t *testing.T) {
	w := testWorld(t)
	w.jobType("x", nil)
	c := w.client("10.00", nil)
	w.submit(c, asked("x")) // it knows the type now
	elsewhere := queue.New(w.store, queue.Options{IDs: w.ids})
	changed := queue.Defaults()
	changed.Name = "x"
	changed.Price.Base = amount("2.00")
	changed.InputSchema = []byte(`{"required":["a"]}`)
	if _, err := elsewhere.DefineType(t.Context(), changed, ""); err != nil {
		t.Fatal(err)
	}
	w.refuse(tallygate.MissingParameter, submission(c, asked("x")))
	if j := w.submit(c, queue.Submission{Type: "x", Input: []byte(`{"a":1}`), Metadata: []byte("{}")})[0]; j.Held != amount("2.00") || j.PriceVersion != 2 {
		t.Errorf("the job holds %s of version %d", j.Held, j.PriceVersion)
	}
	for _, j := range w.lease(10, "x") {
		w.tell(j, success)
	}
	if err := elsewhere.DeleteType(t.Context(), "x", ""); err != nil {
		t.Fatal(err)
	}
	w.refuse(tallygate.ResourceNotFound, submission(c, queue.Submission{Type: "x", Input: []byte(`{"a":1}`), Metadata: []byte("{}")}))
	w.audit()
}

func TestNobodyIsRefusedForWhatWasChangedElsewhere(t *testing.T) {
	w := testWorld(t)
	c := w.client("10.00", nil)
	strict := queue.Defaults()
	strict.Name, strict.InputSchema = "x", []byte(`{"required":["a"]}`)
	strict.Clients = []tallygate.ClientID{w.client("0.00", nil).ID}
	if _, err := w.queue.DefineType(t.Context(), strict, ""); err != nil {
		t.Fatal(err)
	}
	w.refuse(tallygate.AuthorizationFailed, submission(c, asked("x")))
	elsewhere := queue.New(w.store, queue.Options{IDs: w.ids})
	strict.Clients = nil
	if _, err := elsewhere.DefineType(t.Context(), strict, ""); err != nil {
		t.Fatal(err)
	}
	w.refuse(tallygate.MissingParameter, submission(c, asked("x")))
	strict.InputSchema = nil
	if _, err := elsewhere.DefineType(t.Context(), strict, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := w.queue.Quote(t.Context(), c, asked("x")); err != nil {
		t.Errorf("a quote: %v", err)
	}
	w.submit(c, asked("x"))
	w.audit()
}

func TestHoweverManyTypesWereChangedElsewhereABatchIsAccepted(t *testing.T) {
	w := testWorld(t)
	c := w.client("10.00", nil)
	elsewhere := queue.New(w.store, queue.Options{IDs: w.ids})
	var batch []queue.Submission
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		w.jobType(name, nil)
		batch = append(batch, asked(name))
	}
	w.submit(c, batch...)
	for _, s := range batch {
		changed := queue.Defaults()
		changed.Name, changed.Price.Base = s.Type, amount("0.50")
		if _, err := elsewhere.DefineType(t.Context(), changed, ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, j := range w.submit(c, batch...) {
		if j.Held != amount("0.50") {
			t.Errorf("a job of type %s holds %s", j.Type, j.Held)
		}
	}
	w.audit()
}

func TestASubmitWhoseCommitWasOfUnknownOutcomeIsLookedUp(t *testing.T) {
	for _, landed := range []bool{true, false} {
		t.Run(fmt.Sprint("landed ", landed), func(t *testing.T) {
			w := testWorld(t)
			w.jobType("x", nil)
			c := w.client("1.00", nil)
			bad := &badCommit{Store: w.store, landed: landed, failing: true, away: 2}
			s := queue.New(bad, queue.Options{IDs: w.ids})
			jobs, _, err := s.Submit(t.Context(), submission(c, many(3, "x")...))
			if landed {
				if err != nil || len(jobs) != 3 {
					t.Errorf("%d jobs, %v", len(jobs), err)
				}
				w.owns(c, "1.00", "0.003")
				return
			}
			if !tallygate.IsCode(err, tallygate.DatabaseError) {
				t.Errorf("the commit was lost: %v", err)
			}
			w.owns(c, "1.00", "0.00")
		})
	}
}
