package postgres

import (
	"strings"
	"syscall"
)

const tcpUserTimeout = 18 // of linux/tcp.h; RFC 5482

// giveUp bounds how long what was sent may stay unacknowledged.
func giveUp(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(unheardTime.Milliseconds()))
	})
	if err == nil {
		err = failed
	}
	return err
}
