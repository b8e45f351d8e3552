package bench

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// worker says how a load pulls jobs.
type worker struct {
	Key  string `json:"key"`
	Type string `json:"type"`
	Max  int    `json:"max"`
	Wait span   `json:"wait"` // how long a lease may wait for a job
	Name string `json:"name"`
}

// refusedPause is the wait of whoever tries again after a 503.
const refusedPause = 200 * time.Millisecond

// A puller is one worker on one connection: it takes leases and reports every
// job as succeeded.
type puller struct {
	worker
	line    *wire
	refused *atomic.Int64 // counts the 503s of a patient worker; nil: none
	leases  []lease       // of the last answer; valid until the next call
	head    []byte
	body    []byte
}

func newPuller(ctx context.Context, address string, w worker) (*puller, error) {
	line, err := dial(ctx, address)
	if err != nil {
		return nil, err
	}
	return &puller{worker: w, line: line}, nil
}

// take leases up to Max jobs, and waits for the first of them up to wait.
func (p *puller) take(wait time.Duration) error {
	p.body = p.appendLease(p.body[:0], wait)
	answer, err := p.post("/v1/worker/lease", wait)
	if err != nil {
		return err
	}
	p.leases, _, _, err = scanLeases(answer, p.leases[:0])
	return err
}

// settle reports every job it holds as succeeded, and with more takes the next
// in the same call.
func (p *puller) settle(more bool) error {
	p.body = append(p.body[:0], `{"reports":[`...)
	held := len(p.leases)
	for i, l := range p.leases {
		if i > 0 {
			p.body = append(p.body, ',')
		}
		p.body = append(p.body, `{"job_id":"`...)
		p.body = append(p.body, l.job...)
		p.body = append(p.body, `","token":"`...)
		p.body = append(p.body, l.token...)
		p.body = append(p.body, `","outcome":"succeeded","result":{}}`...)
	}
	p.body = append(p.body, ']')
	if more {
		p.body = p.appendLease(append(p.body, `,"lease":`...), 0)
	}
	p.body = append(p.body, '}')
	answer, err := p.post("/v1/worker/report", 0)
	if err != nil {
		return err
	}
	leases, settled, refused, err := scanLeases(answer, p.leases[:0])
	p.leases = leases
	switch {
	case err != nil:
		return err
	case refused > 0 || settled != held:
		return fmt.Errorf("of %d reports %d were taken and %d refused: %.500s", held, settled, refused, answer)
	case !more && len(leases) > 0:
		return fmt.Errorf("a report that asked for none got %d leases", len(leases))
	}
	return nil
}

// succeed reports the one job it holds by the route of that job.
func (p *puller) succeed() error {
	l := p.leases[0]
	path := "/v1/worker/jobs/" + string(l.job) + "/succeed"
	p.body = append(p.body[:0], `{"token":"`...)
	p.body = append(p.body, l.token...)
	p.body = append(p.body, `","result":{}}`...)
	_, err := p.post(path, 0)
	p.leases = p.leases[:0]
	return err
}

func (p *puller) appendLease(buf []byte, wait time.Duration) []byte {
	buf = append(buf, `{"types":["`...)
	buf = append(buf, p.Type...)
	buf = append(buf, `"],"max":`...)
	buf = strconv.AppendInt(buf, int64(p.Max), 10)
	if wait > 0 {
		buf = append(buf, `,"wait":"`...)
		buf = append(buf, wait.String()...)
		buf = append(buf, '"')
	}
	buf = append(buf, `,"worker":"`...)
	buf = append(buf, p.Name...)
	return append(buf, `"}`...)
}

// post sends the body and returns the answer's, which must be a 200. A patient
// worker counts a 503 and tries again.
func (p *puller) post(path string, wait time.Duration) ([]byte, error) {
	p.head = append(p.head[:0], "POST "...)
	p.head = append(p.head, path...)
	p.head = append(p.head, " HTTP/1.1\r\nHost: "...)
	p.head = append(p.head, p.line.address...)
	p.head = append(p.head, "\r\nAuthorization: Bearer "...)
	p.head = append(p.head, p.Key...)
	p.head = append(p.head, "\r\nContent-Type: application/json\r\nContent-Length: "...)
	p.head = strconv.AppendInt(p.head, int64(len(p.body)), 10)
	p.head = append(p.head, "\r\n\r\n"...)
	p.head = append(p.head, p.body...)
	for {
		if err := p.line.limit(time.Now().Add(wait + patience)); err != nil {
			return nil, err
		}
		answer, err := p.line.exchange(p.head)
		switch {
		case err != nil:
			return nil, fmt.Errorf("POST %s: %w", path, err)
		case answer.status == http.StatusOK:
			return answer.body, nil
		case answer.status != http.StatusServiceUnavailable || p.refused == nil:
			return nil, fmt.Errorf("POST %s: %d %.500s", path, answer.status, answer.body)
		}
		p.refused.Add(1)
		pause(refusedPause)
	}
}
