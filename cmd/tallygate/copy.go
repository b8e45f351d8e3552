package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store/postgres"
	"github.com/tallygate/tallygate/store/sqlite"
)

// copyCmd moves a store from SQLite to PostgreSQL.
type copyCmd struct {
	From string `required:"" placeholder:"FILE" help:"SQLite file of a server that is stopped."`
	To   string `required:"" placeholder:"URL" help:"Empty PostgreSQL database, as postgres://…"`
}

func (copyCmd) Help() string {
	return "Everything goes: clients, keys, ledgers, job types, live and ended jobs, events, idempotency records. Both sides are audited, and the file is only read. " +
		"The copy is one transaction: whatever goes wrong, the database stays empty and the file can be served again.\n\nExamples:\n\n" +
		"    systemctl stop tallygate\n" +
		"    tallygate copy --from /var/lib/tallygate/tallygate.db --to postgres://tallygate@db/tallygate\n" +
		"    tallygate serve --database postgres://tallygate@db/tallygate\n"
}

func (c *copyCmd) Run(ctx context.Context, a *app) (err error) {
	if !isPostgres(c.To) {
		return usagef("--to must be a postgres:// URL")
	}
	if !exists(c.From) {
		return &exitError{code: exitUsage, err: fmt.Errorf("there is no file %s", c.From), remedy: "name the SQLite file with --from"}
	}
	from, err := sqlite.OpenSource(ctx, c.From)
	if err != nil {
		return &exitError{code: exitUsage, err: err, remedy: "stop the server that uses the file, and name the file that it used"}
	}
	defer func() {
		if closed := from.Close(); err == nil {
			err = closed
		}
	}()
	a.note("auditing %s", c.From)
	before, err := from.Audit(ctx)
	if err != nil {
		return err
	}
	if len(before.Findings) > 0 {
		return &exitError{code: exitFound, err: fmt.Errorf("the audit of %s finds %d faults: nothing was copied", c.From, len(before.Findings)), remedy: "see them with `tallygate audit --database " + c.From + "`"}
	}
	if err := postgres.Migrate(ctx, c.To, a.waitsForSchema); err != nil {
		return databaseFault(err, "mend this and run the command again")
	}
	after, err := postgres.Load(ctx, c.To, from, a.copied)
	if _, unknown := errors.AsType[tallygate.ErrCommit](err); unknown {
		return &exitError{code: exitUsage, err: fmt.Errorf("the database may hold the copy, or be empty: %w", err),
			remedy: "see which with `tallygate audit --database " + shownURL(c.To) + "`, and serve the file or the copy, never both; or drop the database and copy again"}
	}
	if err != nil {
		return databaseFault(fmt.Errorf("the database was left as it was: %w", err), "mend this and run the command again")
	}
	if counts(before) != counts(after) {
		return &exitError{code: exitFound, err: errors.New("the copy holds other counts than the file"), remedy: "do not serve it: drop the database and tell the authors"}
	}
	if err := postgres.Analyze(ctx, c.To); err != nil {
		a.note("the copy is whole, but ANALYZE failed, so that it may be slow for some minutes: %v", err)
	}
	if a.json {
		return a.printValue(map[string]any{"clients": after.Clients, "entries": after.Entries, "live_jobs": after.LiveJobs, "ended_jobs": after.EndedJobs})
	}
	if err := a.printRecord(
		field{"clients", count(after.Clients)},
		field{"entries", count(after.Entries)},
		field{"live jobs", count(after.LiveJobs)},
		field{"ended jobs", count(after.EndedJobs)},
	); err != nil {
		return err
	}
	a.note("both sides pass the audit")
	a.note("next: tallygate serve --database %s", shownURL(c.To))
	return nil
}

// counts are what an audit looked at.
func counts(r *tallygate.AuditReport) [4]int64 {
	return [4]int64{r.Clients, r.Entries, r.LiveJobs, r.EndedJobs}
}

// copied tells how far a table is: on a terminal in a line that moves, elsewhere once at its end.
func (a *app) copied(table string, done, all int64) {
	switch {
	case a.live && done < all:
		fmt.Fprintf(a.stderr, "%s%s  %s of %s rows", clearLine, table, count(done), count(all))
	case done == all && all > 0:
		if a.live {
			fmt.Fprint(a.stderr, clearLine)
		}
		a.note("%s  %s rows", table, count(all))
	}
}

// exists reports whether there is a file at the path.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
