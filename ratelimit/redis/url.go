package redis

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// errURL tells neither the URL nor what exactly is wrong with it: any part of a mistyped one may be the password.
var errURL = errors.New("the limiter's URL is malformed: want redis://[user:password@]host[:port][/number], rediss:// for TLS, " +
	"unix:///path, or redis://host:port?master_name=NAME for Sentinel; %-escape what is special in a password")

const (
	protocol = 2           // of RESP: servers of all ages speak it, and nothing here needs a later one
	connects = time.Second // the most that a connection may take; a decision's own time mostly ends before
	once     = 1           // a server that refuses is dialled, and a command sent: the next try is the caller's
	never    = -1
	pool     = 16 * lanes // more than will ever be, since the library stops dialling after as many failures
)

// secrets are the passwords of the URL, and passwords alone.
func secrets(u *url.URL) (found []string) {
	password, _ := u.User.Password()
	for _, secret := range [...]string{password, u.Query().Get("password")} {
		if secret != "" {
			found = append(found, secret)
		}
	}
	return found
}

// clients returns a function that makes clients for the URL. None of them connects before it is used.
func clients(u *url.URL) (fresh func() *goredis.Client, err error) {
	if secure, valkey := strings.CutPrefix(u.Scheme, "valkey"); valkey {
		u.Scheme = "redis" + secure
	}
	if u.Query().Has("master_name") {
		return behindSentinel(u)
	}
	opt, err := goredis.ParseURL(u.String())
	if err != nil {
		return nil, errURL
	}
	opt.Protocol, opt.DisableIdentity, opt.ContextTimeoutEnabled = protocol, true, true
	opt.DialTimeout, opt.DialerRetries, opt.MaxRetries = connects, once, never
	opt.PoolSize, opt.PipelinePoolSize, opt.MinIdleConns = pool, never, 0
	opt.OnConnect = greet
	return func() *goredis.Client { return goredis.NewClient(opt) }, nil
}

// greet finds out whether the server lets this program in at all: what it answers to a script does not always say so.
func greet(ctx context.Context, conn *goredis.Conn) error { return conn.Ping(ctx).Err() }

// behindSentinel asks the URL's hosts, who are Sentinels, which server is the primary.
func behindSentinel(u *url.URL) (fresh func() *goredis.Client, err error) {
	opt, err := goredis.ParseFailoverURL(u.String())
	if err != nil {
		return nil, errURL
	}
	opt.Protocol, opt.DisableIdentity, opt.ContextTimeoutEnabled = protocol, true, true
	opt.DialTimeout, opt.DialerRetries, opt.MaxRetries = connects, once, never
	opt.PoolSize, opt.PipelinePoolSize, opt.MinIdleConns = pool, never, 0
	opt.OnConnect = greet
	if opt.TLSConfig != nil {
		opt.TLSConfig.ServerName = "" // each server, and the primary above all, is known by its own name
	}
	opt.RouteByLatency, opt.RouteRandomly, opt.ReplicaOnly = false, false, false // every decision writes
	return func() *goredis.Client { return goredis.NewFailoverClient(opt) }, nil
}
