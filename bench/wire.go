package bench

import (
	"context"
	"net"
	"time"
)

// A wire is one keep-alive connection, one request at a time.
type wire struct {
	replyReader
	ctx     context.Context
	address string
	conn    net.Conn
	unwatch func() bool
	by      time.Time // when an exchange must be over
}

// dial opens a wire that is closed when ctx is done.
func dial(ctx context.Context, address string) (*wire, error) {
	w := &wire{ctx: ctx, address: address}
	return w, w.redial()
}

func (w *wire) redial() error {
	w.hangUp()
	var dialer net.Dialer
	conn, err := dialer.DialContext(w.ctx, "tcp", w.address)
	if err != nil {
		return err
	}
	w.conn = conn
	w.reset(conn)
	w.unwatch = context.AfterFunc(w.ctx, func() { conn.Close() })
	return conn.SetDeadline(w.by)
}

func (w *wire) hangUp() {
	if w.conn != nil {
		w.unwatch()
		w.conn.Close()
		w.conn = nil
	}
}

// limit ends every exchange that is not over by then with an error.
func (w *wire) limit(by time.Time) error {
	w.by = by
	if w.conn == nil {
		return w.redial()
	}
	return w.conn.SetDeadline(by)
}

// exchange sends a request and reads its answer. A server that ends the
// connection after an answer is dialled again at the next exchange.
func (w *wire) exchange(request []byte) (reply, error) {
	if w.conn == nil {
		if err := w.redial(); err != nil {
			return reply{}, err
		}
	}
	if _, err := w.conn.Write(request); err != nil {
		return reply{}, err
	}
	r, err := w.read()
	if err != nil {
		w.hangUp()
		return r, err
	}
	if r.close {
		w.hangUp()
	}
	return r, nil
}
