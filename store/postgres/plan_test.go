package postgres

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/tallygate/tallygate"
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
