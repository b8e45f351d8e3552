package api

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/tallygate/tallygate"
	"github.com/tallygate/tallygate/queue"
)

// Bounds of what a worker may send.
const (
	maxLeases       = 1000
	maxLeaseTypes   = 100
	maxLeaseWait    = time.Minute
	maxReports      = 1000
	maxToken        = 200
	maxWorkerName   = 200
	maxErrorMessage = 4000
	maxLogLines     = 100
	maxLogLine      = 4000
	longestRetry    = 24 * time.Hour
	maxUnits        = 1_000_000_000_000
)

// leaseRequest reads which jobs a worker can do, and how many it takes.
func (o *object) leaseRequest() queue.LeaseRequest {
	types, given := o.texts("types", maxLeaseTypes)
	switch {
	case !given && o.optional("types") == nil:
		o.faults.missing(o.field("types"))
	case given && len(types) == 0:
		o.invalid("types", "must name at least one job type")
	}
	req := queue.LeaseRequest{
		Types: types,
		Max:   int(o.integer("max", 1, 1, maxLeases)),
		Wait:  o.duration("wait", 0, 0, maxLeaseWait),
	}
	req.Worker, _ = o.text("worker", maxWorkerName)
	return req
}

// lease is POST /v1/worker/lease.
func (c *call) lease() error {
	o, err := c.object(mustBeThere)
	if err != nil {
		return err
	}
	req := o.leaseRequest()
	if err := c.checked(); err != nil {
		return err
	}
	if err := c.mayWait(req.Wait); err != nil {
		return err
	}
	ctx, done := c.park(req.Wait)
	leases, err := c.server.opt.Queue.Lease(ctx, req)
	done()
	if err != nil {
		return err
	}
	return c.sendWith(func(b []byte) []byte {
		b = append(b, `{"leases":`...)
		b = appendList(b, leases, c.server.appendLease)
		return append(b, '}')
	})
}

// appendLease appends a lease with its job.
func (s *Server) appendLease(b []byte, l queue.Lease) []byte {
	b = append(b, `{"token":`...)
	b = appendText(b, l.Token)
	b = append(b, `,"attempt":`...)
	b = appendInt(b, l.Attempt)
	b = append(b, `,"expires_at":`...)
	b = appendTime(b, l.ExpiresAt)
	b = append(b, `,"job":`...)
	b = s.appendJob(b, l.Job)
	return append(b, '}')
}

// token reads the fencing token that every word of a worker bears.
func (o *object) token() string { return o.requiredText("token", maxToken) }

// workedJob is the job that a worker's path names.
func (c *call) workedJob() (tallygate.JobID, error) {
	id := tallygate.JobID(c.r.PathValue("id"))
	if !tallygate.ValidID(tallygate.JobPrefix, string(id)) {
		return "", jobNotFound(id)
	}
	return id, nil
}

// heartbeat is POST /v1/worker/jobs/{id}/heartbeat.
func (c *call) heartbeat() error {
	o, err := c.object(mustBeThere)
	if err != nil {
		return err
	}
	beat := queue.Beat{Token: o.token()}
	if progress, ok := o.number("progress", 0, 1); ok {
		beat.Progress = &progress
	}
	beat.Logs, _ = o.texts("logs", maxLogLines)
	for i, line := range beat.Logs {
		if utf8.RuneCountInString(line) > maxLogLine {
			o.faults.invalid("/logs/"+strconv.Itoa(i), "must have at most %d characters", maxLogLine)
		}
	}
	if err := c.checked(); err != nil {
		return err
	}
	if beat.JobID, err = c.workedJob(); err != nil {
		return err
	}
	expires, cancelRequested, err := c.server.opt.Queue.Heartbeat(c.ctx, beat)
	if err != nil {
		return err
	}
	return c.sendWith(func(b []byte) []byte {
		b = append(b, `{"expires_at":`...)
		b = appendTime(b, expires)
		b = append(b, `,"cancel_requested":`...)
		b = strconv.AppendBool(b, cancelRequested)
		return append(b, '}')
	})
}

// succeed is POST /v1/worker/jobs/{id}/succeed.
func (c *call) succeed() error { return c.settle((*object).succeeded) }

// fail is POST /v1/worker/jobs/{id}/fail.
func (c *call) fail() error { return c.settle((*object).failed) }

// release is POST /v1/worker/jobs/{id}/release.
func (c *call) release() error { return c.settle((*object).released) }

// settle passes on one report.
func (c *call) settle(read func(*object) queue.Report) error {
	o, err := c.object(mustBeThere)
	if err != nil {
		return err
	}
	report := read(o)
	if err := c.checked(); err != nil {
		return err
	}
	if report.JobID, err = c.workedJob(); err != nil {
		return err
	}
	results, _, err := c.server.opt.Queue.Report(c.ctx, []queue.Report{report}, nil)
	if err != nil {
		return err
	}
	if results[0] != nil {
		return results[0]
	}
	return c.sendWith(func(b []byte) []byte { return appendReported(b, report.JobID, nil) })
}

func (o *object) succeeded() queue.Report {
	r := queue.Report{Outcome: queue.Succeeded, Token: o.token(), Result: o.required("result")}
	units, _ := o.object("units")
	if units == nil {
		return r
	}
	r.Units = make(map[string]int64, len(units.members))
	for i := range units.members {
		name := string(units.members[i].name)
		r.Units[name] = units.integer(name, 0, 0, maxUnits)
	}
	return r
}

func (o *object) failed() queue.Report {
	r := queue.Report{
		Outcome: queue.Failed, Token: o.token(), Code: tallygate.ProcessingFailed,
		Final: !o.boolean("retry", true), RetryAfter: o.duration("retry_after", 0, 0, longestRetry),
	}
	if o.raw("error") == nil {
		o.faults.missing(o.field("error"))
		return r
	}
	failure, ok := o.object("error")
	if !ok {
		o.invalid("error", "must be an object")
		return r
	}
	r.Message = failure.requiredText("message", maxErrorMessage)
	if name, ok := failure.text("code", 100); ok {
		code, known := tallygate.ParseCode(name)
		if !known || (code != tallygate.ProcessingFailed && code != tallygate.ExternalServiceError) {
			failure.invalid("code", "must be PROCESSING_FAILED or EXTERNAL_SERVICE_ERROR, not %s", quoted(shown(name)))
		}
		r.Code = code
	}
	failure.done()
	return r
}

func (o *object) released() queue.Report {
	return queue.Report{Outcome: queue.Released, Token: o.token()}
}

// report is POST /v1/worker/report: it settles a batch and takes the next leases in one call. Each report has its own
// result; one that is refused holds up no other.
func (c *call) report() error {
	o, err := c.object(mustBeThere)
	if err != nil {
		return err
	}
	reports := o.reports()
	var next *queue.LeaseRequest
	if l, ok := o.object("lease"); ok {
		req := l.leaseRequest()
		l.done()
		next = &req
	}
	if err := c.checked(); err != nil {
		return err
	}
	var wait time.Duration
	if next != nil {
		wait = next.Wait
	}
	if err := c.mayWait(wait); err != nil {
		return err
	}
	ctx, done := c.park(wait)
	results, leases, err := c.server.opt.Queue.Report(ctx, reports, next)
	done()
	if err != nil {
		return err
	}
	return c.sendWith(func(b []byte) []byte {
		b = append(b, `{"results":[`...)
		for i := range reports {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendReported(b, reports[i].JobID, results[i])
		}
		b = append(b, `],"leases":`...)
		b = appendList(b, leases, c.server.appendLease)
		return append(b, '}')
	})
}

// reports reads the reports of a batch.
func (o *object) reports() []queue.Report {
	list := o.optional("reports")
	if list == nil {
		o.faults.missing(o.field("reports"))
		return nil
	}
	values, ok := elements(list, maxReports)
	if !ok {
		o.invalid("reports", "must be a list of at most %d reports", maxReports)
		return nil
	}
	reports := make([]queue.Report, 0, len(values))
	for i, value := range values {
		at := "/reports/" + strconv.Itoa(i)
		one, ok := newObject(o.faults, at, value)
		if !ok {
			o.faults.invalid(at, "must be an object")
			continue
		}
		reports = append(reports, one.report())
		one.done()
	}
	return reports
}

func (o *object) report() (r queue.Report) {
	id := tallygate.JobID(o.requiredText("job_id", maxToken))
	switch outcome := o.requiredText("outcome", maxToken); queue.ReportOutcome(outcome) {
	case queue.Succeeded:
		r = o.succeeded()
	case queue.Failed:
		r = o.failed()
	case queue.Released:
		r = o.released()
	case "":
		r.Token = o.token()
	default:
		o.invalid("outcome", "must be succeeded, failed or released, not %s", quoted(shown(outcome)))
	}
	r.JobID = id
	return r
}

// appendReported appends what became of one report.
func appendReported(b []byte, id tallygate.JobID, refused error) []byte {
	b = append(b, `{"job_id":`...)
	b = appendText(b, id)
	if refused == nil {
		return append(b, `,"ok":true}`...)
	}
	b = append(b, `,"error":`...)
	b = appendErrorObject(b, tallygate.AsError(refused))
	return append(b, '}')
}
