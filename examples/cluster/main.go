// Command cluster runs a cluster on one machine, for trying: two nodes, a PostgreSQL with a synchronous standby, a Redis
// and a small load balancer. It prints what to try, and ends everything on Ctrl-C. It is no way to run one for others:
// for that there are the files beside it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

type options struct {
	listen string
	binary string
	once   bool
}

func main() {
	var opt options
	flag.StringVar(&opt.listen, "listen", "127.0.0.1:8080", "where the balancer listens; the nodes take the ports after it, and a free one is taken for one that is not")
	flag.StringVar(&opt.binary, "tallygate", beside("tallygate"), "the program that the nodes run")
	flag.BoolVar(&opt.once, "once", false, "try everything, and end")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "cluster: %q is one word too many; see --help\n", flag.Arg(0))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends it at once
	if err := run(ctx, opt); err != nil && (opt.once || ctx.Err() == nil) {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

// beside is a program in the folder of this one.
func beside(name string) string {
	self, err := os.Executable()
	if err != nil {
		return name
	}
	return filepath.Join(filepath.Dir(self), name)
}

func run(ctx context.Context, opt options) (err error) {
	if _, err := os.Stat(opt.binary); err != nil {
		return fmt.Errorf("there is no program %s: make build compiles it, --tallygate names another", opt.binary)
	}
	c, err := newCluster(opt)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.close(err != nil && ctx.Err() == nil)) }()
	if err := c.start(ctx); err != nil {
		return err
	}
	if err := c.invite(); err != nil {
		return err
	}
	if opt.once {
		return c.check(ctx)
	}
	<-ctx.Done()
	c.note("\nstopping")
	return nil
}
