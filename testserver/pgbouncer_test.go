package testserver

import (
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

func TestAPoolerGivesItsConnectionsByTheTransaction(t *testing.T) {
	database := Postgres(t).Database(t)
	pooled := PgBouncer(t, database, "transaction")
	first, err := pgconn.Connect(t.Context(), pooled)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close(t.Context())
	backend := "SELECT pg_backend_pid()"
	results, err := first.Exec(t.Context(), backend).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if mine, others := string(results[0].Rows[0][0]), ask(t, pooled, backend); mine != others {
		t.Errorf("two idle clients have the connections %s and %s", mine, others)
	}
	if through, direct := ask(t, pooled, "SELECT current_database()"), ask(t, database, "SELECT current_database()"); through != direct {
		t.Errorf("the pooler leads to %s, not %s", through, direct)
	}
}
