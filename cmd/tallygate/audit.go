package main

import (
	"context"
	"fmt"

	"github.com/tallygate/tallygate"
)

type auditCmd struct {
	Database string `env:"TALLYGATE_DATABASE" default:"tallygate.db" placeholder:"PATH|URL" help:"SQLite file to audit, or postgres://… (default: ${default})."`
}

func (auditCmd) Help() string {
	return "Reads one snapshot, beside a running server or without one, and never writes. Exits with 11 when something does not add up.\n\nExamples:\n\n" +
		"    tallygate audit --database tallygate.db\n" +
		"    tallygate audit --database tallygate.db --json\n"
}

func (c *auditCmd) Run(ctx context.Context, a *app) error {
	report, err := auditDatabase(ctx, c.Database)
	if err != nil {
		return err
	}
	if err := a.showAudit(report); err != nil {
		return err
	}
	if len(report.Findings) > 0 {
		return &exitError{
			code:   exitFound,
			err:    fmt.Errorf("%d findings", len(report.Findings)),
			remedy: "keep a copy of the database, and correct balances only by new entries",
		}
	}
	return nil
}

// auditDatabase audits a database over one snapshot.
func auditDatabase(ctx context.Context, path string) (report *tallygate.AuditReport, err error) {
	store, err := openReader(ctx, path)
	if err != nil {
		return nil, databaseFault(err, "name the server's database with --database")
	}
	defer func() {
		if closed := store.Close(); err == nil {
			err = closed
		}
	}()
	err = store.View(ctx, func(tx tallygate.Tx) error {
		report, err = tx.Audit()
		return err
	})
	return report, err
}

// audit is the report as --json prints it.
type audit struct {
	Clients    int64          `json:"clients"`
	Entries    int64          `json:"entries"`
	LiveJobs   int64          `json:"live_jobs"`
	EndedJobs  int64          `json:"ended_jobs"`
	Statements []string       `json:"statements"`
	Findings   []auditFinding `json:"findings"`
}

type auditFinding struct {
	Statement string `json:"statement"`
	Subject   string `json:"subject"`
	Detail    string `json:"detail"`
}

func (a *app) showAudit(r *tallygate.AuditReport) error {
	findings := make([]auditFinding, 0, len(r.Findings))
	for _, f := range r.Findings {
		findings = append(findings, auditFinding(f))
	}
	if a.json {
		return a.printValue(audit{r.Clients, r.Entries, r.LiveJobs, r.EndedJobs, r.Statements, findings})
	}
	if err := a.printRecord(
		field{"clients", count(r.Clients)},
		field{"entries", count(r.Entries)},
		field{"live jobs", count(r.LiveJobs)},
		field{"ended jobs", count(r.EndedJobs)},
	); err != nil {
		return err
	}
	rows := make([][]string, 0, len(r.Statements))
	for _, statement := range r.Statements {
		result, against := "ok", 0
		for _, f := range findings {
			if f.Statement == statement {
				against++
			}
		}
		if against > 0 {
			result = "fail"
		}
		rows = append(rows, []string{result, statement, count(int64(against))})
	}
	fmt.Fprintln(a.stdout)
	if err := a.printTable([]column{status("result"), left("statement"), right("findings")}, rows); err != nil {
		return err
	}
	if len(findings) == 0 {
		return nil
	}
	rows = rows[:0]
	for _, f := range findings {
		rows = append(rows, []string{f.Subject, f.Detail, f.Statement})
	}
	fmt.Fprintln(a.stdout)
	return a.printTable([]column{left("subject"), left("detail"), left("statement")}, rows)
}
