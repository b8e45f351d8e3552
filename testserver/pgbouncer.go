package testserver

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tallygate/tallygate/child"
)

// pooler is pgbouncer.ini: every database of the server, under its own name, as the URL's user.
const pooler = `[databases]
* = %s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = %s
max_client_conn = 1000
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
`

// keepsApart matches the versions that can keep the prepared statements of sessions apart, which here none does.
var keepsApart = regexp.MustCompile(`(?m)^PgBouncer 1\.(2[1-9]|[3-9]\d)\.`)

// PgBouncer starts a pooler before a database's server, for the test, and returns the URL of the database through it.
// The mode is session, transaction or statement; more settings are lines such as "default_pool_size = 1".
func PgBouncer(t testing.TB, databaseURL, poolMode string, settings ...string) string {
	t.Helper()
	program, err := find("apt-get install pgbouncer", "pgbouncer")
	must(t, err)
	version, err := exec.Command(program, "--version").Output()
	must(t, err)
	if keepsApart.Match(version) {
		settings = append(settings, "max_prepared_statements = 0")
	}
	server, err := url.Parse(databaseURL)
	must(t, err)
	folder, err := newFolder("pgbouncer")
	must(t, err)
	route := fmt.Sprintf("host=%s port=%s user='%s'", server.Hostname(), server.Port(), server.User.Username())
	if password, given := server.User.Password(); given {
		route += fmt.Sprintf(" password='%s'", password)
	}
	through := ""
	must(t, onFreePort(func(port int) error {
		through = withHost(databaseURL, address(port))
		config := fmt.Sprintf(pooler, route, port, poolMode) + strings.Join(settings, "\n") + "\n"
		return startPgBouncer(t, program, folder, config, through)
	}))
	return through
}

func startPgBouncer(t testing.TB, program, folder, config, url string) error {
	file := filepath.Join(folder, "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		return err
	}
	log := &log{}
	spec, err := spec(folder, log, program, file)
	if err != nil {
		return err
	}
	process, err := child.Start(context.Background(), spec)
	if err != nil {
		return err
	}
	err = await(context.Background(), process.Ended(), func(ctx context.Context) error {
		_, err := query(ctx, url, "SELECT 1")
		return err
	})
	if err != nil {
		process.Stop()
		return fmt.Errorf("PgBouncer does not start: %w; its log ends:\n%s", err, log)
	}
	t.Cleanup(process.Stop)
	return nil
}
