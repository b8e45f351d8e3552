package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/store"
)

// Reader reads a database beside the nodes that use it: for audits and checks. It never writes, and its statements may
// take long.
type Reader struct{ pg *pgx.Conn }

var _ tallygate.Store = (*Reader)(nil)

// OpenReader opens a database that has this version's schema for reading.
func OpenReader(ctx context.Context, url string) (*Reader, error) {
	steps, err := Migrations(ctx, url)
	if err != nil {
		return nil, err
	}
	for _, m := range steps {
		if m.Applied.IsZero() {
			return nil, fmt.Errorf("the database lacks migration %s: run `tallygate migrate`, or start a server of this version once", m.Name)
		}
	}
	config, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	pg, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", plain(err))
	}
	return &Reader{pg}, nil
}

// Facts are what a person who runs the database wants to know.
type Facts struct {
	Version                     string
	Connections, MaxConnections int64
	Fsync, SynchronousCommit    string
	Standbys                    string // synchronous_standby_names
	Durable                     bool   // what is acknowledged is on a disk, and on the standby's where one is named
	TLS, Local                  bool   // of this connection
	Time                        time.Time
}

// Facts asks the server about itself.
func (r *Reader) Facts(ctx context.Context) (f Facts, err error) {
	var clock int64
	err = r.pg.QueryRow(ctx, `SELECT current_setting('server_version'), (SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
			current_setting('max_connections')::bigint, current_setting('fsync'), current_setting('synchronous_commit'),
			current_setting('synchronous_standby_names'), COALESCE((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
			inet_server_addr() IS NULL OR inet_server_addr() <<= '127.0.0.0/8' OR inet_server_addr() <<= '::1', `+clockSQL).
		Scan(&f.Version, &f.Connections, &f.MaxConnections, &f.Fsync, &f.SynchronousCommit, &f.Standbys, &f.TLS, &f.Local, &clock)
	f.Time = time.UnixMicro(clock)
	reaches := f.SynchronousCommit == "on" || f.SynchronousCommit == "remote_apply" || f.SynchronousCommit != "off" && f.Standbys == ""
	f.Durable = f.Fsync == "on" && reaches
	return f, err
}

// Update refuses.
func (r *Reader) Update(context.Context, func(tallygate.Tx) error) error {
	return errors.New("the database was opened for reading")
}

// View runs fn over one snapshot. A Reader serves one caller at a time.
func (r *Reader) View(ctx context.Context, fn func(tallygate.Tx) error) error {
	c := &conn{pg: r.pg, caller: ctx, patient: true, begin: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}
	defer c.end()
	return fn(store.NewView(c, time.Now()))
}

// Delay is always 0.
func (r *Reader) Delay() time.Duration { return 0 }

// Close closes the connection.
func (r *Reader) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	return r.pg.Close(ctx)
}
