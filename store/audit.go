package store

import (
	"fmt"

	"github.com/tallygate/tallygate"
)

// auditCheck is one statement about the ledger and the query that finds what breaks it: a subject, what is, what
// should be.
type auditCheck struct {
	statement string
	violation string // how to read the two numbers
	sql       string
}

var auditChecks = []auditCheck{
	{
		"every balance equals the sum of its client's entries",
		"posted and held differ from their entries by %d and %d micro-units",
		`SELECT c.id, c.posted - COALESCE(e.posted, 0), c.held - COALESCE(e.held, 0) FROM clients c
			LEFT JOIN (SELECT client_id, SUM(posted) AS posted, SUM(held) AS held FROM entries GROUP BY client_id) e ON e.client_id = c.id
			WHERE c.posted <> COALESCE(e.posted, 0) OR c.held <> COALESCE(e.held, 0)`,
	},
	{
		"every ledger is whole: its entries are numbered without gaps up to the client's last, each on the balance before it",
		"%d entries stand where %d were written, or a balance does not follow from the one before",
		`SELECT c.id, COALESCE(e.entries, 0), c.entries FROM clients c
			LEFT JOIN (SELECT client_id, COUNT(*) AS entries, MAX(number) AS last,
				SUM(CASE WHEN after_posted <> running_posted OR after_held <> running_held THEN 1 ELSE 0 END) AS broken
				FROM (SELECT client_id, number, after_posted, after_held,
					SUM(posted) OVER (PARTITION BY client_id ORDER BY number) AS running_posted,
					SUM(held) OVER (PARTITION BY client_id ORDER BY number) AS running_held FROM entries) AS ledger
				GROUP BY client_id) e ON e.client_id = c.id
			WHERE COALESCE(e.entries, 0) <> c.entries OR COALESCE(e.last, 0) <> c.entries OR COALESCE(e.broken, 0) > 0`,
	},
	{
		"no hold was taken below the floor then in force",
		"a hold left %d micro-units available with a floor of %d",
		`SELECT id, after_posted - after_held, floor FROM entries WHERE kind = 'hold' AND after_posted - after_held < floor`,
	},
	{
		"every open hold has a live job, and every live job its hold",
		"%d micro-units are held by entries and %d by the queue",
		`SELECT h.job_id, h.held, COALESCE(q.held, 0) FROM
			(SELECT job_id, SUM(held) AS held FROM entries WHERE job_id <> '' GROUP BY job_id) h
			LEFT JOIN queue q ON q.job_id = h.job_id WHERE h.held <> COALESCE(q.held, 0)
		UNION ALL
		SELECT q.job_id, 0, q.held FROM queue q LEFT JOIN
			(SELECT job_id FROM entries WHERE kind = 'hold' GROUP BY job_id) h ON h.job_id = q.job_id
			WHERE q.held > 0 AND h.job_id IS NULL`,
	},
	{
		"every finished job has no open hold and was settled once",
		"a finished job still holds %d micro-units or was charged otherwise than its outcome's %d",
		`SELECT o.job_id, COALESCE(e.held, 0), o.charged FROM outcomes o
			LEFT JOIN (SELECT job_id, SUM(held) AS held, SUM(posted) AS posted FROM entries WHERE job_id <> '' GROUP BY job_id) e
				ON e.job_id = o.job_id
			WHERE COALESCE(e.held, 0) <> 0 OR COALESCE(e.posted, 0) <> -o.charged`,
	},
	{
		"a job is either live or ended",
		"it stands %d times in the queue and %d times among the ended",
		`SELECT o.job_id, 1, 1 FROM outcomes o JOIN queue q ON q.job_id = o.job_id
		UNION ALL
		SELECT j.id, 0, 0 FROM jobs j WHERE NOT EXISTS (SELECT 1 FROM queue q WHERE q.job_id = j.id)
			AND NOT EXISTS (SELECT 1 FROM outcomes o WHERE o.job_id = j.id)`,
	},
	{
		"every count of queued and running jobs equals the jobs",
		"counted %d queued or running, there are %d",
		`SELECT c.id, c.queued + c.running, COALESCE(q.queued, 0) + COALESCE(q.running, 0) FROM clients c
			LEFT JOIN (SELECT client_id, SUM(CASE state WHEN 2 THEN 0 ELSE 1 END) AS queued, SUM(CASE state WHEN 2 THEN 1 ELSE 0 END) AS running
				FROM queue GROUP BY client_id) q ON q.client_id = c.id
			WHERE c.queued <> COALESCE(q.queued, 0) OR c.running <> COALESCE(q.running, 0)
		UNION ALL
		SELECT t.job_type, t.live, COALESCE(q.live, 0) FROM type_loads t
			LEFT JOIN (SELECT type, COUNT(*) AS live, SUM(CASE state WHEN 2 THEN 1 ELSE 0 END) AS running FROM queue GROUP BY type) q
				ON q.type = t.job_type
			WHERE t.live <> COALESCE(q.live, 0) OR t.running <> COALESCE(q.running, 0)
		UNION ALL
		SELECT q.type, 0, COUNT(*) FROM queue q WHERE NOT EXISTS (SELECT 1 FROM type_loads t WHERE t.job_type = q.type) GROUP BY q.type
		UNION ALL
		SELECT l.client_id, l.ready, COALESCE(q.ready, 0) FROM lanes l
			LEFT JOIN (SELECT type, client_id, COUNT(*) AS ready FROM queue WHERE state = 0 GROUP BY type, client_id) q
				ON q.type = l.type AND q.client_id = l.client_id
			WHERE l.ready <> COALESCE(q.ready, 0)
		UNION ALL
		SELECT q.client_id, 0, COUNT(*) FROM queue q WHERE q.state = 0 AND NOT EXISTS
			(SELECT 1 FROM lanes l WHERE l.type = q.type AND l.client_id = q.client_id) GROUP BY q.type, q.client_id`,
	},
}

// maxFindings bounds how many findings of one statement a report lists.
const maxFindings = 100

// WholeReader is a Conn whose statements look things up by keys unless it is told that they are going to read whole
// tables.
type WholeReader interface{ ReadWhole() error }

// Audit proves the ledger over the transaction's snapshot.
func (tx *Tx) Audit() (*tallygate.AuditReport, error) {
	report := &tallygate.AuditReport{Findings: []tallygate.AuditFinding{}}
	if c, ok := tx.conn.(WholeReader); ok {
		if err := c.ReadWhole(); err != nil {
			return nil, err
		}
	}
	for _, count := range []struct {
		into *int64
		sql  string
	}{
		{&report.Clients, `SELECT COUNT(*) FROM clients`},
		{&report.Entries, `SELECT COUNT(*) FROM entries`},
		{&report.LiveJobs, `SELECT COUNT(*) FROM queue`},
		{&report.EndedJobs, `SELECT COUNT(*) FROM outcomes`},
	} {
		n, err := tx.integer(count.sql)
		if err != nil {
			return nil, err
		}
		*count.into = n
	}
	for _, check := range auditChecks {
		report.Statements = append(report.Statements, check.statement)
		found := 0
		err := tx.conn.Query(check.sql, func(r Row) error {
			if found++; found > maxFindings {
				return nil
			}
			report.Findings = append(report.Findings, tallygate.AuditFinding{
				Statement: check.statement,
				Subject:   r.Text(0),
				Detail:    fmt.Sprintf(check.violation, r.Int64(1), r.Int64(2)),
			})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return report, nil
}
