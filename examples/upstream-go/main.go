// Command upstream-go is an upstream in Go: an HTTP service that the server calls with image.palette jobs, and that answers
// the colours of a picture. It takes only calls that are signed with the secret in UPSTREAM_SECRET.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	address := flag.String("listen", "127.0.0.1:9000", "where to listen")
	flag.Parse()
	secret := os.Getenv("UPSTREAM_SECRET")
	if secret == "" {
		log.Fatal("UPSTREAM_SECRET is not set: it has to be the secret of the job type's executor")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	server := &http.Server{Handler: newService(secret, runtime.NumCPU()), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute}
	ended := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(ended)
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		_ = server.Shutdown(patience) // calls that take longer are tried again by the server
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
	<-ended
}
