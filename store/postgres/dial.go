package postgres

import (
	"context"
	"net"
	"time"
)

const (
	quietFor    = 5 * time.Second // on a connection, before the other side is asked whether it is there
	askedEvery  = time.Second
	askedTimes  = 3
	unheardTime = 8 * time.Second // of what was sent, before the connection counts as lost
)

// dial connects so that a machine that is gone without a word is found out within seconds (RFC 1122, section 4.2.3.6;
// RFC 5482): by default a connection waits a quarter of an hour for what it has sent to be acknowledged.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: quietFor, Interval: askedEvery, Count: askedTimes},
		Control:         giveUp,
	}
	return d.DialContext(ctx, network, address)
}
