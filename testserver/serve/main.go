// Command serve starts a throwaway PostgreSQL, prints its URL and ends it when its own standard input ends: a script
// that starts it shares one server among all the test programs that it runs, and leaves none behind.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/tallygate/tallygate/testserver"
)

func main() {
	server, err := testserver.Shared()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(server.URL())
	_, _ = io.Copy(io.Discard, os.Stdin) // it ends, in order or not, with whoever started this
}
