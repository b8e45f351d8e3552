package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tallygate/tallygate/child"
)

const (
	river            = "river"
	peerInsertTarget = 3.0 // of the peer's one-row inserts, to a durable submit
	peerDrainTarget  = 0.7 // of the peer's no-ops, to a settled job
	peerVariable     = "DATABASE_URL"
)

// A peer is another queue, measured on the same PostgreSQL server in the same
// rounds by a program of its own: bench/river, a module that the product does
// not depend on. Called with "insert" or "drain" it empties its tables in the
// database that the environment names, and prints a peerResult.
type peer struct {
	name     string
	binary   string
	database string // its name on the server
}

// peerResult is what a peer's program prints.
type peerResult struct {
	Version   string  `json:"version"`
	Done      int64   `json:"done"`
	PerSecond float64 `json:"per_second"`
	P50MS     float64 `json:"p50_ms"`
	P99MS     float64 `json:"p99_ms"`
}

// newPeer finds or builds the peer's program and makes its database.
func (s *session) newPeer(ctx context.Context) (*peer, error) {
	p := &peer{name: s.Peer, binary: s.PeerBinary}
	if p.binary == "" {
		var err error
		if p.binary, err = s.buildPeer(ctx); err != nil {
			return nil, err
		}
	} else if _, err := exec.LookPath(p.binary); err != nil {
		return nil, &Misuse{fmt.Errorf("bench: the peer's program: %w", err), "build it in bench/" + s.Peer + " of a checkout, with go build"}
	}
	var err error
	p.database, err = s.host.create(ctx)
	return p, err
}

// buildPeer builds the peer's program from the checkout.
func (s *session) buildPeer(ctx context.Context) (string, error) {
	elsewhere := "build the peer where both are, in bench/" + s.Peer + " with go build, and name the result with --peer-binary"
	source := findAbove(filepath.Join("bench", s.Peer, "go.mod"), filepath.Dir(s.Binary), ".")
	if source == "" {
		return "", &Misuse{fmt.Errorf("bench: the peer is built from bench/%s, and no checkout is above this program or the current folder", s.Peer),
			"run it from a checkout; or " + elsewhere}
	}
	if _, err := exec.LookPath("go"); err != nil {
		return "", &Misuse{errors.New("bench: the peer is built by Go, which is not on this machine"), "install it; or " + elsewhere}
	}
	phase := s.progress.begin("build "+s.Peer, 0)
	binary := filepath.Join(s.folder, s.Peer)
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	build.Dir = filepath.Dir(source)
	build.WaitDelay = time.Second
	if said, err := build.CombinedOutput(); err != nil {
		phase.end("failed")
		return "", &Misuse{fmt.Errorf("bench: building the peer: %w: %s", err, bytes.TrimSpace(said)), "mend that; or " + elsewhere}
	}
	phase.end("built")
	return binary, nil
}

// findAbove looks for a file in folders and what is above them.
func findAbove(name string, folders ...string) string {
	for _, folder := range folders {
		folder, err := filepath.Abs(folder)
		for err == nil {
			if _, missing := os.Stat(filepath.Join(folder, name)); missing == nil {
				return filepath.Join(folder, name)
			}
			if filepath.Dir(folder) == folder {
				break
			}
			folder = filepath.Dir(folder)
		}
	}
	return ""
}

// insert measures one-row inserts by as many callers as a workload has
// connections.
func (p *peer) insert(ctx context.Context, s *session, label string, w workload) (peerResult, error) {
	return p.run(ctx, s, label, time.Duration(w.Warmup+w.Duration), "insert", "-connections", strconv.Itoa(w.Connections),
		"-warmup", time.Duration(w.Warmup).String(), "-duration", time.Duration(w.Duration).String())
}

// drain measures how fast as many no-op jobs are worked as the server settles.
func (p *peer) drain(ctx context.Context, s *session, label string) (peerResult, error) {
	return p.run(ctx, s, label, 0, "drain", "-jobs", strconv.Itoa(s.Jobs))
}

func (p *peer) run(ctx context.Context, s *session, label string, lasts time.Duration, args ...string) (got peerResult, err error) {
	phase := s.progress.begin(label, 0)
	phase.lasts(lasts)
	defer func() {
		if err != nil {
			phase.end("failed")
		}
	}()
	c, err := s.spawn(ctx, child.Spec{Name: p.name, Program: p.binary, Args: args, Env: []string{peerVariable + "=" + s.host.named(p.database)}})
	if err != nil {
		return got, err
	}
	defer c.Stop()
	if err := c.Wait(); err != nil {
		return got, err
	}
	if err := json.Unmarshal([]byte(c.Output()), &got); err != nil || got.PerSecond <= 0 {
		return got, fmt.Errorf("%s printed no figures: %.300s", p.name, c.Output())
	}
	s.report.Peer = p.name + " " + got.Version
	text := figure(got.PerSecond) + "/s"
	if got.P50MS > 0 {
		text += fmt.Sprintf(", p50 %s ms, p99 %s ms", figure(got.P50MS), figure(got.P99MS))
	}
	phase.end(text)
	return got, nil
}

// peerRates is what the peer did a second in each round.
func peerRates(rounds []round) []float64 {
	var rates []float64
	for _, r := range rounds {
		rates = append(rates, r.peer.PerSecond)
	}
	return rates
}
