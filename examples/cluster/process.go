package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tallygate/tallygate/child"
)

// process is a program that is started again when it ends, as a service manager does it.
type process struct {
	spec    child.Spec
	pidFile string
	log     *os.File
	serves  func(context.Context, *child.Child) error // returns once it does

	mu  sync.Mutex
	now *child.Child // nil: it does not run
}

// restartAfter is long enough to see what is missing.
const restartAfter = 5 * time.Second

// newProcess has a program write its log into the folder.
func newProcess(folder string, spec child.Spec) (*process, error) {
	log, err := os.OpenFile(filepath.Join(folder, spec.Name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	spec.Log, spec.Alone = log, true
	return &process{spec: spec, log: log, pidFile: filepath.Join(folder, spec.Name+".pid")}, nil
}

// start starts the program and returns once it serves.
func (p *process) start(ctx context.Context) error {
	c, err := child.Start(context.Background(), p.spec) // it is ended in the cluster's order
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.now = c
	p.mu.Unlock()
	if err := os.WriteFile(p.pidFile, []byte(strconv.Itoa(c.PID())), 0o600); err != nil {
		return err
	}
	return p.serves(ctx, c)
}

// keep starts the program again whenever it has ended, until the context does.
func (p *process) keep(ctx context.Context, say func(string, ...any)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.running().Ended():
		}
		say("%s has ended; it is started again in %v", p.spec.Name, restartAfter)
		select {
		case <-ctx.Done():
			return
		case <-time.After(restartAfter):
		}
		if err := p.start(ctx); err != nil {
			if ctx.Err() == nil {
				say("%s does not start: %s", p.spec.Name, lastLine(err))
			}
			continue
		}
		say("%s serves again", p.spec.Name)
	}
}

func (p *process) running() *child.Child {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *process) stop() {
	if c := p.running(); c != nil {
		c.Stop()
	}
	p.log.Close()
}

// lastLine of an error that repeats what a program said.
func lastLine(err error) string {
	text := strings.TrimSpace(err.Error())
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// answers waits until somebody listens at the address.
func answers(ctx context.Context, c *child.Child, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for {
		var dialer net.Dialer
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nobody answers at %s: %w", address, err)
		case <-c.Ended():
			return fmt.Errorf("%s has ended: %w", address, c.Wait())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// freeAddress is the address, or another port of its host where that one is taken: one below those that systems give
// to outgoing connections, so that a program that is started again finds it free.
func freeAddress(wanted string) (string, error) {
	host, port, err := net.SplitHostPort(wanted)
	if err != nil {
		return "", err
	}
	for range 100 {
		if port != "0" {
			address := net.JoinHostPort(host, port)
			if l, err := net.Listen("tcp", address); err == nil {
				return address, l.Close()
			}
		}
		port = strconv.Itoa(12000 + rand.IntN(20000))
	}
	return "", errors.New("found no free port on " + host)
}
