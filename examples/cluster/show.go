package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

func (c *cluster) step(name, format string, args ...any) {
	c.printf("  %-10s %s\n", name, fmt.Sprintf(format, args...))
}

func (c *cluster) note(format string, args ...any) { c.printf(format+"\n", args...) }

// say tells what has just happened.
func (c *cluster) say(format string, args ...any) {
	c.printf("%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

func (c *cluster) printf(format string, args ...any) {
	c.printed.Lock()
	defer c.printed.Unlock()
	fmt.Printf(format, args...)
}

// trial is something to try: lines for a shell.
type trial struct{ what, lines string }

// trials are what a person may do to the cluster. They go on from one another.
func (c *cluster) trials() []trial {
	const body = ` -H 'Content-Type: application/json' -d `
	operator, customer := ` -H "Authorization: Bearer $OPERATOR"`, ` -H "Authorization: Bearer $KEY"`
	return []trial{
		{"make a client, give it credit and a key", `CLIENT=$(curl -s $API/v1/clients` + operator + body + `'{"name":"Acme","limits":{"requests_per_second":50,"burst":100}}' | grep -o 'cl_[0-9a-z]*' | head -1)
curl -sw '\n' $API/v1/clients/$CLIENT/credits` + operator + ` -H "Idempotency-Key: first-$CLIENT"` + body + `'{"amount":"10.00"}'
KEY=$(curl -s $API/v1/clients/$CLIENT/api-keys` + operator + body + `'{"name":"acme","permissions":["preset:full"]}' | grep -o 'tg_live_[0-9A-Za-z_]*')`},
		{"submit a job through the balancer; X-Served-By tells which node took it", `curl -siw '\n' $API/v1/jobs` + customer + body + `'{"type":"` + jobType + `","input":{"text":"hello"}}'`},
		{"take it from one node, and report to the other", `LEASE=$(curl -s $NODE2/v1/worker/lease` + operator + body + `'{"types":["` + jobType + `"],"max":1,"wait":"30s","worker":"me"}')
JOB=$(echo "$LEASE" | grep -o 'job_[0-9a-z]*' | head -1) TOKEN=$(echo "$LEASE" | grep -o 'lease_[0-9A-Z]*' | head -1)
curl -sw '\n' $NODE1/v1/worker/jobs/$JOB/succeed` + operator + body + `'{"token":"'$TOKEN'","result":{"text":"HELLO"},"units":{"kilobyte":1}}'`},
		{"what the client has left, and what a node knows of the others", `curl -sw '\n' $NODE1/v1/account` + customer + `
curl -sw '\n' $NODE2/readyz`},
		{killNode, `kill -9 $(cat ` + c.file("node-1.pid") + `)`},
		{stopRedis, `kill -9 $(cat ` + c.file("redis.pid") + `)`},
		{failOver, `kill -9 $(cat ` + c.file("primary.pid") + `)
psql '` + inDatabase(c.standby.URL()) + `' -c 'SELECT pg_promote()'`},
		{proveLedger, c.opt.binary + ` audit --database '` + c.database + `'`},
	}
}

// The trials that the check makes, too.
const (
	killNode    = "kill a node: submit again, the other one goes on"
	stopRedis   = "stop Redis: calls go on, each node by its share of the limits"
	failOver    = "kill the primary and promote the standby: the nodes find it, and nothing acknowledged is lost"
	proveLedger = "prove the ledger"
)

// invite prints what to try.
func (c *cluster) invite() error {
	if err := os.WriteFile(c.file("operator.key"), []byte(c.operator+"\n"), 0o600); err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nLines to paste, in this order:\n\n  # the balancer, the nodes, the operator's key\n")
	fmt.Fprintf(&b, "export API=%s NODE1=http://%s NODE2=http://%s\nexport OPERATOR=%s\n", c.url, c.addresses[0], c.addresses[1], c.operator)
	for _, t := range c.trials() {
		fmt.Fprintf(&b, "\n  # %s\n%s\n", t.what, t.lines)
	}
	fmt.Fprintf(&b, "\nLogs are in %s. Ctrl-C ends everything and removes it.\n\n", c.folder)
	c.printf("%s", b.String())
	return nil
}
