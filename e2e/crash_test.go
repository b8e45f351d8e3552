package e2e

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
)

func TestKillUnderLoadLosesNothing(t *testing.T) {
	t.Parallel()
	killUnderLoad(t, setup{}, kills(t), func(*server, *rand.Rand) {})
}

// TestKillInTheMiddleOfAWriteLosesNothing leaves behind what is written of a batch that nobody was told of: the
// beginning of a frame, or a frame whose checksum does not match, at the end of the write-ahead log.
func TestKillInTheMiddleOfAWriteLosesNothing(t *testing.T) {
	t.Parallel()
	killUnderLoad(t, setup{file: true}, (kills(t)+2)/3, func(s *server, random *rand.Rand) { tearLog(t, s.database+"-wal", random) })
}

// kills is how often the server is killed.
func kills(t *testing.T) int {
	text := os.Getenv(killsVariable)
	if text == "" {
		return 15
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s is %q, want a number", killsVariable, text)
	}
	return n
}

// seed is what the test's random choices follow from.
func seed(t *testing.T) uint64 {
	s := rand.Uint64()
	if text := os.Getenv(seedVariable); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s is %q, want a number", seedVariable, text)
		}
	}
	t.Logf("%s=%d chooses the same again", seedVariable, s)
	return s
}

// killUnderLoad kills the server again and again while clients and workers are busy with it, and holds it to what it
// told them. Between a kill and the next start damage may do what a crash can do to the files.
func killUnderLoad(t *testing.T, with setup, kills int, damage func(*server, *rand.Rand)) {
	with.listen = freeAddress(t)
	s := serve(t, with)
	b := newLoad(t, s).begin(t)
	for n := range kills {
		b.goOn(t)
		b.down()
		s.kill()
		damage(s, b.random)
		if n < 15 || n%10 == 0 { // it takes as long as there is much, and one of many proves what was before
			s.audit()
		}
		s.start()
		b.back()
		b.holdsServerToItsWord()
		if t.Failed() {
			break
		}
	}
	b.end(t)
	s.audit()
	b.accounts()
	s.stop()
	s.audit()
	t.Logf("%s, %d kills", b, kills)
}

// busy is a load at work.
type busy struct {
	*load
	random                   *rand.Rand
	clients, workers         sync.WaitGroup
	stopClients, stopWorkers chan struct{}
}

// begin sets the clients and workers to work. What they choose follows from the test's seed.
func (l *load) begin(t *testing.T) *busy {
	t.Helper()
	chosen := seed(t)
	source := uint64(0)
	next := func() *rand.Rand {
		source++
		return rand.New(rand.NewPCG(chosen, source))
	}
	b := &busy{load: l, random: rand.New(rand.NewPCG(chosen, 0)), stopClients: make(chan struct{}), stopWorkers: make(chan struct{})}
	for i, c := range l.clients {
		for thread := range 2 {
			r := next()
			b.clients.Go(func() { l.submits(c, strconv.Itoa(i)+"-"+strconv.Itoa(thread), r, b.stopClients) })
		}
	}
	for range 3 {
		r := next()
		b.workers.Go(func() { l.works(r, b.stopWorkers) })
	}
	return b
}

// goOn waits until some more has been done.
func (b *busy) goOn(t *testing.T) {
	t.Helper()
	b.target.Store(b.events.Load() + 100 + b.random.Int64N(500))
	until(t, "the load goes on", func() bool {
		select {
		case <-b.due:
			return true
		default:
			return false
		}
	})
}

// succeed waits until so many more requests have succeeded.
func (b *busy) succeed(t *testing.T, more int64) {
	t.Helper()
	enough := b.served.Load() + more
	until(t, "requests succeed", func() bool { return b.served.Load() >= enough })
}

// end has the clients come to an end, then, once everything that was accepted has ended, the workers.
func (b *busy) end(t *testing.T) {
	t.Helper()
	close(b.stopClients)
	b.clients.Wait()
	until(t, "everything that was accepted has ended", b.idle)
	close(b.stopWorkers)
	b.workers.Wait()
}

func (b *busy) String() string {
	return fmt.Sprintf("%d jobs, %d of them submitted without a word back, %d top-ups", len(b.numbers), len(b.unknown), len(b.topUps))
}

// idle reports whether no job waits or runs.
func (l *load) idle() bool {
	for _, c := range l.clients {
		a := c.get("/v1/account").ok()
		if a.number("jobs.queued")+a.number("jobs.running") > 0 {
			return false
		}
	}
	return true
}

// holdsServerToItsWord looks after a crash at every job of which something was heard since the crash before. The load
// stands still meanwhile: where it goes on faster than it is looked at, each look has more to look at than the last.
func (l *load) holdsServerToItsWord() {
	l.still.Lock()
	defer l.still.Unlock()
	l.mu.Lock()
	told := map[string]known{}
	for id := range l.touched {
		told[id] = *l.jobs[id]
	}
	clear(l.touched)
	l.mu.Unlock()
	for id, k := range told {
		a := l.asks("/v1/jobs/" + id)
		if a.status != http.StatusOK {
			l.t.Errorf("the job of submit %s was acknowledged: %s", k.number, a)
			continue
		}
		if k.status == "" {
			continue
		}
		if status, charge := a.text("status"), money(l.t, a.text("receipt.charged")); status != k.status || charge != k.charge {
			l.t.Errorf("job %s was acknowledged as %s for %d, after the crash it is %s for %d", id, k.status, k.charge, status, charge)
		}
	}
}

// asks reads, once the store can be read.
func (l *load) asks(path string) (a answer) {
	until(l.t, path+" is answered", func() bool {
		var err error
		a, err = l.through(l.op).try(http.MethodGet, path, nil)
		return err == nil && a.status != http.StatusInternalServerError && a.status != http.StatusServiceUnavailable
	})
	return a
}

// accounts compares what the server has at the end with the load's own record, job by job and line by line.
func (l *load) accounts() {
	for _, c := range l.clients {
		charges := l.accountsJobs(c)
		moves := map[string]balance{}
		topUps, credited, posted := 0, int64(0), int64(0)
		for _, e := range l.op.pages("/v1/clients/" + c.id + "/entries") {
			move := balance{posted: money(l.t, e.text("posted")), held: money(l.t, e.text("held"))}
			posted += move.posted
			if e.text("kind") == "credit" {
				credited += move.posted
				topUps++
				continue
			}
			sum := moves[e.text("job_id")]
			moves[e.text("job_id")] = balance{posted: sum.posted + move.posted, held: sum.held + move.held}
		}
		if credited != l.credited[c.id] {
			l.t.Errorf("client %s was credited %d in %d top-ups, the load's record says %d", c.id, credited, topUps, l.credited[c.id])
		}
		if len(moves) != len(charges) {
			l.t.Errorf("client %s has entries of %d jobs and %d jobs", c.id, len(moves), len(charges))
		}
		for id, charge := range charges {
			if moves[id] != (balance{posted: -charge}) {
				l.t.Errorf("the entries of job %s come to %+v, want what was charged, %d, and nothing held", id, moves[id], charge)
			}
		}
		if b := c.balance(); b.held != 0 || b.posted != posted || b.available != posted {
			l.t.Errorf("client %s has the balance %+v, its entries come to %d", c.id, b, posted)
		}
	}
}

// accountsJobs compares a client's jobs with the record and returns what each was charged.
func (l *load) accountsJobs(c customer) map[string]int64 {
	charges := map[string]int64{}
	numbers := map[string]bool{}
	for _, j := range l.op.pages("/v1/jobs?client_id=" + c.id) {
		id, number, status, charge := j.text("id"), j.text("metadata.number"), j.text("status"), money(l.t, j.text("receipt.charged"))
		charges[id] = charge
		if numbers[number] {
			l.t.Errorf("submit %s made more than one job", number)
		}
		numbers[number] = true
		k := l.jobs[id]
		switch {
		case l.refused[number]:
			l.t.Errorf("submit %s was refused and made job %s", number, id)
		case k == nil && !l.unknown[number]:
			l.t.Errorf("nobody asked for job %s of submit %s", id, number)
		case k != nil && k.status != "" && (k.status != status || k.charge != charge):
			l.t.Errorf("job %s was acknowledged as %s for %d and is %s for %d", id, k.status, k.charge, status, charge)
		case status == "succeeded" && (k == nil || k.status == ""):
			l.t.Errorf("job %s succeeded without a report that was acknowledged", id)
		case status == "failed" && charge != 0, status == "cancelled" && charge != meteredBase:
			l.t.Errorf("job %s was charged %d although it %s", id, charge, status)
		}
	}
	for id, k := range l.jobs {
		if _, there := charges[id]; k.client == c.id && !there {
			l.t.Errorf("job %s of submit %s was acknowledged and is gone", id, k.number)
		}
	}
	return charges
}

// tearLog appends a part of a frame, or a frame that is not whole, to a write-ahead log.
func tearLog(t *testing.T, path string, random *rand.Rand) {
	t.Helper()
	const header, frame = 32, 24 + 4096
	log, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	size, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	torn := make([]byte, frame)
	if size >= header+frame { // begin as the last frame began, with salts that are right
		if _, err := log.ReadAt(torn, size-(size-header)%frame-frame); err != nil {
			t.Fatal(err)
		}
	}
	for range 8 {
		torn[24+random.IntN(frame-24)] ^= 0xff
	}
	if _, err := log.WriteAt(torn[:1+random.IntN(frame)], size); err != nil {
		t.Fatal(err)
	}
}
