package testserver

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Standby starts a copy of the server that follows it, for the test, and returns when it does. A synchronous one has
// each commit on its disk before the server answers it; with no such standby running the server's commits wait.
func (s *PostgresServer) Standby(t testing.TB, synchronous bool) *PostgresServer {
	t.Helper()
	s.mine()
	folder, err := newFolder("standby")
	must(t, err)
	standby := &PostgresServer{t: t, bin: s.bin, folder: folder, log: &log{}}
	name := strings.ReplaceAll(filepath.Base(folder), "-", "_")
	must(t, s.copyTo(standby, name))
	must(t, onFreePort(standby.startOn))
	t.Cleanup(standby.remove)
	if synchronous {
		must(t, s.synchronize(append(slices.Clone(s.standbys), name)))
		t.Cleanup(func() {
			others := slices.DeleteFunc(slices.Clone(s.standbys), func(n string) bool { return n == name })
			_ = s.synchronize(others) // a server that was ended waits for nobody
		})
	}
	must(t, s.awaitStandby(standby, name, synchronous))
	return standby
}

// Promote makes a standby a server that takes writes, and returns when it does. End the server that it followed first:
// nothing else keeps the two from diverging.
func (s *PostgresServer) Promote() {
	s.mine().Helper()
	promoted, err := query(context.Background(), s.url, fmt.Sprintf("SELECT pg_promote(true, %d)", int(patience.Seconds())/2))
	if err == nil && promoted != "t" {
		err = fmt.Errorf("not after %v; its log ends:\n%s", patience/2, s.log)
	}
	if err != nil {
		s.t.Fatalf("promoting the standby: %v", err)
	}
}

// copyTo fills the folder of a standby, which gets a slot of the name: the server keeps what it has yet to read.
func (s *PostgresServer) copyTo(standby *PostgresServer, name string) error {
	primary := fmt.Sprintf("host=127.0.0.1 port=%d user=postgres application_name=%s", s.port, name)
	_, err := run(context.Background(), standby.folder, filepath.Join(s.bin, "pg_basebackup"), "--pgdata="+standby.data(), "--dbname="+primary,
		"--create-slot", "--slot="+name, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	if err != nil {
		return err
	}
	// Whom the server waits for, the copy does not: once promoted it has no standbys.
	return standby.configure("postgresql.auto.conf", map[string]string{"synchronous_standby_names": ""})
}

// synchronize has the server wait for all of these standbys.
func (s *PostgresServer) synchronize(names []string) error {
	s.standbys = names
	list := ""
	if len(names) > 0 {
		list = fmt.Sprintf("FIRST %d (%s)", len(names), strings.Join(names, ", "))
	}
	if _, err := query(context.Background(), s.url, "ALTER SYSTEM SET synchronous_standby_names = "+literal(list)); err != nil {
		return err
	}
	_, err := query(context.Background(), s.url, "SELECT pg_reload_conf()")
	return err
}

// awaitStandby waits until the standby answers and the server streams to it.
func (s *PostgresServer) awaitStandby(standby *PostgresServer, name string, synchronous bool) error {
	state := "streaming async"
	if synchronous {
		state = "streaming sync"
	}
	err := await(context.Background(), standby.process.Ended(), func(ctx context.Context) error {
		is, err := query(ctx, s.url, "SELECT state || ' ' || sync_state FROM pg_stat_replication WHERE application_name = "+literal(name))
		if err == nil && is != state {
			err = fmt.Errorf("it is %q, not %q", is, state)
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("the standby does not follow: %w; its log ends:\n%s", err, standby.log)
	}
	return err
}

// MultiHostURL is the first URL with the hosts of all: a client of PostgreSQL tries them in turn for the one that takes
// writes.
func MultiHostURL(first string, others ...string) string {
	u := parse(first)
	for _, other := range others {
		u.Host += "," + parse(other).Host
	}
	values := u.Query()
	values.Set("target_session_attrs", "read-write")
	u.RawQuery = values.Encode()
	return u.String()
}
