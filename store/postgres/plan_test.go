package postgres

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

// TestALeaseWalksItsLaneAlone: whatever the statistics say, ready jobs are found by the index of their lane, not along
// what the client ever had or what others have queued.
func TestALeaseWalksItsLaneAlone(t *testing.T) {
	for name, statistics := range map[string]string{
		"none":              "SELECT 1",
		"of now":            "ANALYZE queue, jobs",
		"of an empty queue": `CREATE TABLE kept AS SELECT * FROM queue; DELETE FROM queue; ANALYZE queue, jobs; INSERT INTO queue SELECT * FROM kept`,
		"of few jobs": `CREATE TABLE kept AS SELECT * FROM jobs WHERE number % 100 > 0; DELETE FROM jobs WHERE number % 100 > 0; VACUUM ANALYZE jobs;
			INSERT INTO jobs OVERRIDING SYSTEM VALUE SELECT * FROM kept; ANALYZE queue`,
		"of many jobs and a short queue": `CREATE TABLE kept AS SELECT * FROM queue WHERE client_id = 'cl_b'; DELETE FROM queue WHERE client_id = 'cl_b';
			VACUUM ANALYZE queue, jobs; INSERT INTO queue SELECT * FROM kept`,
	} {
		t.Run(name, func(t *testing.T) {
			s := nodes(t, 1)[0]
			pg, err := pgx.Connect(t.Context(), s.config.ConnString())
			if err != nil {
				t.Fatal(err)
			}
			defer pg.Close(t.Context())
			for _, sql := range append([]string{manyJobs}, strings.Split(statistics, ";")...) {
				if _, err := pg.Exec(t.Context(), sql); err != nil {
					t.Fatal(err)
				}
			}
			err = s.Update(t.Context(), func(tx tallygate.Tx) error {
				for range 8 { // so that a plan for all values is chosen, too
					before := rowsRead(t, s.writer.conn)
					jobs, err := tx.ReadyJobs(&tallygate.Lane{Type: "x", ClientID: "cl_a", Ready: 100, Head: "job_019900", HeadPriority: 0}, 10)
					if err != nil {
						return err
					}
					if len(jobs) != 10 {
						return fmt.Errorf("%d jobs", len(jobs))
					}
					if read := rowsRead(t, s.writer.conn) - before; read > 100 {
						return fmt.Errorf("%d rows of indexes and tables are read for 10 jobs", read)
					}
				}
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// manyJobs gives two clients 20,000 jobs each. Of the first one's the last hundred are ready, the second's all are.
const manyJobs = `WITH all_jobs AS (SELECT n, c FROM generate_series(0, 19999) AS n, (VALUES ('cl_a'), ('cl_b')) AS v (c)),
	made AS (INSERT INTO jobs (id, client_id, type, priority, max_attempts, time_limit, held, price_version, run_at, created_at, actor, event, metadata, input)
		SELECT CASE c WHEN 'cl_a' THEN 'job_0' ELSE 'job_1' END || lpad(n::text, 5, '0'), c, 'x', 0, 1, 0, 0, 1, 0, 0, '', 0, '{}', '{}' FROM all_jobs)
	INSERT INTO queue (job_id, client_id, type, rank, held, price_version, state, at, max_attempts, time_limit)
		SELECT CASE c WHEN 'cl_a' THEN 'job_0' ELSE 'job_1' END || lpad(n::text, 5, '0'), c, 'x', 0, 0, 1, 0, 0, 1, 0 FROM all_jobs WHERE c = 'cl_b' OR n >= 19900`

// rowsRead is how many rows this transaction has read from queue and jobs and their indexes.
func rowsRead(t *testing.T, c *conn) (read int64) {
	t.Helper()
	if err := c.pg.QueryRow(t.Context(), `SELECT SUM(pg_stat_get_xact_tuples_returned(oid) + pg_stat_get_xact_tuples_fetched(oid))::bigint FROM pg_class
		WHERE relname IN ('queue', 'jobs', 'queue_ready', 'queue_pkey', 'jobs_client', 'jobs_pkey')`).Scan(&read); err != nil {
		t.Fatal(err)
	}
	return read
}

// TestATurnCostsTheSameHoweverManyVersionsAreKept: while somebody holds a snapshot nothing can be cleaned away, and the
// rows that change with every turn have a version for each.
func TestATurnCostsTheSameHoweverManyVersionsAreKept(t *testing.T) {
	s := nodes(t, 1)[0]
	addClient(t, s, "cl_a")
	jobType := strings.Repeat("x", 1000) // so that few versions fill a page
	turn := func(n int64, more ...string) {
		t.Helper()
		err := s.Update(background, func(tx tallygate.Tx) error {
			for _, sql := range more {
				if _, err := s.writer.conn.Exec(sql); err != nil {
					return err
				}
			}
			c, err := tx.Client("cl_a")
			if err != nil {
				return err
			}
			c.Balance.Posted++
			_, numbered := tx.NumberEvent()
			return errors.Join(numbered, tx.SaveAccount(c), tx.SaveTypeLoad(jobType, &tallygate.TypeLoad{Live: n}),
				tx.SaveLane(&tallygate.Lane{Type: jobType, ClientID: "cl_a", Ready: n % 2}),
				tx.CountUsage(&tallygate.Outcome{ClientID: "cl_a", Type: jobType, Status: tallygate.JobSucceeded, FinishedAt: tx.Now()}))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	turn(0)
	old, watch := connect(t, s), connect(t, s)
	if _, err := old.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Exec(t.Context(), "SELECT * FROM clients"); err != nil {
		t.Fatal(err)
	}
	const turns = 100
	var pages [8]int64 // that so many turns touched
	before := int64(0)
	for i := range pages {
		for n := range int64(turns - 1) {
			turn(n)
		}
		turn(turns, "SELECT pg_stat_force_next_flush()")
		var all int64
		if err := watch.QueryRow(t.Context(), `SELECT SUM(heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)::bigint FROM pg_statio_user_tables
			WHERE relname IN ('counters', 'clients', 'lanes', 'type_loads', 'usage')`).Scan(&all); err != nil {
			t.Fatal(err)
		}
		pages[i], before = all-before, all
	}
	if first, last := pages[1], pages[len(pages)-1]; first == 0 || last > first+first/4 {
		t.Errorf("each %d turns touched so many pages: %d", turns, pages)
	}
	if got := posted(t, s, "cl_a"); got != 1+turns*tallygate.Money(len(pages)) {
		t.Errorf("%d turns count", got)
	}
}

// TestALeaseCostsTheSameHoweverManyHaveGoneBefore: while somebody holds a snapshot, what was leased before stays in the
// index of what is ready, and a lease begins past it.
func TestALeaseCostsTheSameHoweverManyHaveGoneBefore(t *testing.T) {
	s := nodes(t, 1)[0]
	q := queue.New(s, queue.Options{})
	definition := queue.Defaults()
	definition.Name = "x"
	if _, err := q.DefineType(t.Context(), definition, ""); err != nil {
		t.Fatal(err)
	}
	addClient(t, s, "cl_a")
	client := &tallygate.Client{ID: "cl_a", Status: tallygate.ClientActive}
	old, watch := connect(t, s), connect(t, s)
	if _, err := old.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Exec(t.Context(), "SELECT * FROM queue"); err != nil {
		t.Fatal(err)
	}
	submit := func(jobs int) {
		t.Helper()
		asked := slices.Repeat([]queue.Submission{{Type: "x", Input: []byte("{}"), Metadata: []byte("{}")}}, jobs)
		if _, _, err := q.Submit(t.Context(), queue.Submit{Client: client, Jobs: asked}); err != nil {
			t.Fatal(err)
		}
	}
	serve := func(jobs int) {
		t.Helper()
		for range jobs / 10 {
			leases, err := q.Lease(t.Context(), queue.LeaseRequest{Types: []string{"x"}, Max: 10})
			if err != nil || len(leases) != 10 {
				t.Fatalf("%d leases, %v", len(leases), err)
			}
			var reports []queue.Report
			for _, l := range leases {
				reports = append(reports, queue.Report{JobID: l.Job.ID, Token: l.Token, Outcome: queue.Succeeded, Result: []byte("{}")})
			}
			if _, _, err := q.Report(t.Context(), reports, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	const jobs = 200
	var read [8]int64 // entries of the index for so many jobs
	before := int64(0)
	submit(jobs) // so that the lane is never empty
	for i := range read {
		submit(jobs)
		serve(jobs)
		err := s.Update(background, func(tallygate.Tx) error {
			_, err := s.writer.conn.Exec("SELECT pg_stat_force_next_flush()")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var all int64
		if err := watch.QueryRow(t.Context(), `SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'queue_ready'`).Scan(&all); err != nil {
			t.Fatal(err)
		}
		read[i], before = all-before, all
	}
	if first, last := read[1], read[len(read)-1]; first == 0 || last > first+first/2 {
		t.Errorf("for each %d jobs so many entries of the index were read: %d", jobs, read)
	}
}

func connect(t *testing.T, s *Store) *pgx.Conn {
	t.Helper()
	pg, err := pgx.Connect(t.Context(), s.config.ConnString())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Close(background) })
	return pg
}
