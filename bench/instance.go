package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/tallygate/tallygate/child"
)

// serverConfig is the configuration file of the server under load: what a
// bench cannot run with, and nothing that makes it faster than it is.
const serverConfig = "failed_auth_limit: 0\n"

// An instance is one server process with a fresh database.
type instance struct {
	operator
	process *child.Child
	folder  string
	at      string // host and port
	counter int64  // the next that no request of a load has used
}

// start makes a database in a folder of its own and serves it.
func (s *session) start(ctx context.Context, name string) (*instance, error) {
	folder, err := os.MkdirTemp(s.folder, name+"-")
	if err != nil {
		return nil, err
	}
	i := &instance{folder: folder}
	if err := i.start(ctx, s, name); err != nil {
		i.stop(s)
		return nil, err
	}
	s.running = append(s.running, i)
	return i, nil
}

func (i *instance) start(ctx context.Context, s *session, name string) error {
	database, config := filepath.Join(i.folder, "bench.db"), filepath.Join(i.folder, "tallygate.yaml")
	if err := os.WriteFile(config, []byte(serverConfig), 0o600); err != nil {
		return err
	}
	said, err := exec.CommandContext(ctx, s.Binary, "init", "--database", database, "--json").Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return fmt.Errorf("bench: init: %w: %s", err, exit.Stderr)
		}
		return fmt.Errorf("bench: init: %w", err)
	}
	var made struct {
		OperatorKey string `json:"operator_key"`
	}
	if err := json.Unmarshal(said, &made); err != nil || made.OperatorKey == "" {
		return errors.New("bench: init printed no operator_key")
	}
	i.process, err = s.spawn(ctx, "server "+name, nil,
		"serve", "--listen", "127.0.0.1:0", "--database", database, "--config", config)
	if err != nil {
		return err
	}
	if i.at, err = listens(ctx, i.process); err != nil {
		return err
	}
	i.operator = operator{base: "http://" + i.at, key: made.OperatorKey, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 4},
		Timeout:   2 * time.Minute,
	}}
	return i.defineJobType(ctx)
}

// stop ends the server and removes its files. Stopping twice does nothing.
func (i *instance) stop(s *session) {
	if i.process != nil {
		i.process.Stop()
	}
	if i.http != nil {
		i.http.CloseIdleConnections()
	}
	if !s.Keep {
		_ = os.RemoveAll(i.folder)
	}
}
