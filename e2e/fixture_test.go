package e2e

import "testing"

// fixture is what the cases share.
type fixture struct {
	*server
	t        testing.TB
	op       caller
	client   customer
	other    customer
	othersID string // a job of the other client
	job      string // a finished job
	live     string // a queued job
}

func newFixture(t *testing.T) *fixture {
	s := serve(t, setup{config: "failed_auth_limit: 0\nmax_body: 64KiB\n"})
	s.define(t, metered, pullType(object{"input_schema": object{
		"type": "object", "properties": object{"text": object{"type": "string"}},
	}}))
	s.define(t, "closed", pullType(object{"clients": []string{}}))
	f := &fixture{server: s, t: t, op: s.operator(t), client: s.newClient(t, "10"), other: s.newClient(t, "10")}
	f.othersID = f.other.submit(metered)
	w := s.newWorker(t)
	w.succeed(w.lease(metered), 1).ok()
	f.job = f.client.submit(metered)
	w.succeed(w.lease(metered), 1).ok()
	f.live = f.client.submit(metered)
	return f
}

// on is the fixture for one case.
func (f *fixture) on(t testing.TB) *fixture {
	g := *f
	g.t, g.op.t, g.client.t, g.other.t = t, t, t, t
	return &g
}

// example is one request and what it has to be answered with.
type example struct {
	name     string
	send     func(f *fixture) answer
	code     string // empty: 200
	mentions []string
}

// runCases sends each request and looks at its answer.
func runCases(t *testing.T, f *fixture, cases []example) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a := c.send(f.on(t))
			if c.code == "" {
				a.ok()
				return
			}
			a.refused(c.code).mentions(c.mentions...)
		})
	}
}

// someJob is a job that the server accepts.
const someJob = `{"type":"text.stats","input":{}}`
