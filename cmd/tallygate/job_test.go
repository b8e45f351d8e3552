package main

import (
	"fmt"
	"testing"
)

func testJob(status, rest string) string {
	return fmt.Sprintf(`{"id":"job_1","type":"text.stats","client_id":"cl_1","status":%q,"priority":0,"input":{"text":"a"},"max_attempts":3,"metadata":{"order":"7"},`+
		`"run_at":"2026-03-01T11:59:00Z","created_at":"2026-03-01T11:59:00Z",%s}`, status, rest)
}

var (
	queuedJob    = testJob("queued", `"result":null,"error":null,"progress":null,"attempt":0,"receipt":{"currency":"USD","quoted":"0.21","held":"0.21","charged":"0.00","released":"0.00","units":{},"price_version":1},"started_at":null,"finished_at":null`)
	runningJob   = testJob("running", `"result":null,"error":null,"progress":0.4,"attempt":1,"receipt":{"currency":"USD","quoted":"0.21","held":"0.21","charged":"0.00","released":"0.00","units":{},"price_version":1},"started_at":"2026-03-01T11:59:30Z","finished_at":null`)
	succeededJob = testJob("succeeded", `"result":{"words":2},"error":null,"progress":1,"attempt":1,"receipt":{"currency":"USD","quoted":"0.21","held":"0.21","charged":"0.034","released":"0.176","units":{"page":12},"price_version":1},"started_at":"2026-03-01T11:59:30Z","finished_at":"2026-03-01T11:59:58Z"`)
	failedJob    = testJob("failed", `"result":null,"error":{"code":"PROCESSING_FAILED","message":"no luck"},"progress":null,"attempt":3,"receipt":{"currency":"USD","quoted":"0.21","held":"0.21","charged":"0.00","released":"0.21","units":{},"price_version":1},"started_at":"2026-03-01T11:59:30Z","finished_at":"2026-03-01T11:59:58Z"`)
	cancelledJob = testJob("cancelled", `"result":null,"error":null,"progress":null,"attempt":0,"receipt":{"currency":"USD","quoted":"0.21","held":"0.21","charged":"0.00","released":"0.21","units":{},"price_version":1},"started_at":null,"finished_at":"2026-03-01T11:59:58Z"`)
)

// The events of a job as its stream tells them.
const (
	runningEvent   = "id: 2\nevent: state\ndata: {\"kind\":\"job.running\",\"status\":\"running\",\"data\":{\"attempt\":1,\"worker\":\"w\"}}\n\n"
	progressEvent  = "id: 3\nevent: progress\ndata: {\"kind\":\"job.progress\",\"data\":{\"progress\":0.4}}\n\n"
	logEvent       = "id: 4\nevent: log\ndata: {\"kind\":\"job.log\",\"data\":{\"line\":\"page 1\\u001b[2J\"},\"created_at\":\"2026-03-01T11:59:40Z\"}\n\n"
	retryingEvent  = "id: 5\nevent: state\ndata: {\"kind\":\"job.retrying\",\"status\":\"queued\",\"data\":{\"reason\":\"failed\",\"message\":\"timeout\"}}\n\n"
	succeededEvent = "id: 6\nevent: state\ndata: {\"kind\":\"job.succeeded\",\"status\":\"succeeded\",\"data\":{}}\n\n"
	failedEvent    = "id: 6\nevent: state\ndata: {\"kind\":\"job.failed\",\"status\":\"failed\",\"data\":{}}\n\n"
)

const (
	jobPath   = "GET /v1/jobs/job_1"
	eventPath = "GET /v1/jobs/job_1/events"
)

func TestJobCommands(t *testing.T) {
	submit := []string{"job", "submit", "text.stats"}
	for _, s := range []spoken{
		{name: "job_submit", args: append(submit, "--input", `{"text": "a"}`, "--max-cost", "0.50", "--priority", "3", "--run-at", "10m", "--time-limit", "1m", "--metadata", "order=7", "--metadata", "a=b,c=d", "--idempotency-key", "order-7"),
			answers: answers{"POST /v1/jobs": {queuedJob}}},
		{name: "job_submit_stdin", args: append(submit, "--input", "-", "--json"), stdin: `{"text":"a"}`, answers: answers{"POST /v1/jobs": {queuedJob}}},
		{name: "job_submit_file", args: append(submit, "--input", "@testdata/input.json"), answers: answers{"POST /v1/jobs": {queuedJob}}},
		{name: "job_list", args: []string{"job", "list", "--status", "failed", "--since", "24h", "--metadata", "order=7", "--client", "cl_1"},
			answers: answers{"GET /v1/jobs": {page(queuedJob+","+runningJob+","+succeededJob+","+failedJob, "null")}}},
		{name: "job_get_running", args: []string{"job", "get", "job_1"}, answers: answers{jobPath: {runningJob}}},
		{name: "job_get_succeeded", args: []string{"job", "get", "job_1"}, answers: answers{jobPath: {succeededJob}}},
		{name: "job_get_failed", args: []string{"job", "get", "job_1"}, answers: answers{jobPath: {failedJob}}},
		{name: "job_result", args: []string{"job", "result", "job_1"}, answers: answers{jobPath + "/result": {`{"words": 2}`}}},
		{name: "job_result_failed", args: []string{"job", "result", "job_1"},
			answers: answers{jobPath + "/result": {"500 PROCESSING_FAILED Job processing failed: no luck"}, jobPath: {failedJob}}},
		{name: "job_result_cancelled", args: []string{"job", "result", "job_1"},
			answers: answers{jobPath + "/result": {"400 INVALID_REQUEST The request is malformed or contains invalid parameters: the job job_1 was cancelled and has no result"}, jobPath: {cancelledJob}}},
		{name: "job_result_unfinished", args: []string{"job", "result", "job_1"},
			answers: answers{jobPath + "/result": {"400 INVALID_REQUEST The request is malformed or contains invalid parameters: the job job_1 is running"}, jobPath: {runningJob}}},
		{name: "job_cancel", args: []string{"job", "cancel", "job_1"}, answers: answers{"POST /v1/jobs/job_1/cancel": {cancelledJob}}},
	} {
		s.run(t)
	}
}

func TestJobsAreSeenThrough(t *testing.T) {
	watch := []string{"job", "watch", "job_1"}
	for _, s := range []spoken{
		{name: "job_submit_wait", args: []string{"job", "submit", "text.stats", "--wait"}, answers: answers{
			"POST /v1/jobs": {queuedJob}, jobPath: {queuedJob, succeededJob},
			eventPath: {runningEvent + progressEvent + logEvent + succeededEvent}}},
		{name: "job_submit_wait_failed", args: []string{"job", "submit", "text.stats", "--wait", "--json"}, answers: answers{
			"POST /v1/jobs": {queuedJob}, jobPath: {queuedJob, failedJob},
			eventPath: {runningEvent + retryingEvent + runningEvent + failedEvent}}},
		{name: "job_watch_resumed", args: watch, answers: answers{
			jobPath: {runningJob, succeededJob}, eventPath: {runningEvent + logEvent, succeededEvent}}},
		{name: "job_watch_ended_meanwhile", args: watch, answers: answers{
			jobPath: {runningJob, succeededJob}, eventPath: {runningEvent, logEvent + succeededEvent}}},
		{name: "job_watch_no_events_left", args: watch, answers: answers{
			jobPath: {runningJob, succeededJob}, eventPath: {runningEvent}}},
		{name: "job_watch_polled", args: watch, answers: answers{
			jobPath: {queuedJob, queuedJob, runningJob, succeededJob, succeededJob}, eventPath: {"404 RESOURCE_NOT_FOUND The requested resource was not found"}}},
		{name: "job_watch_ended", args: watch, answers: answers{jobPath: {succeededJob}}},
		{name: "job_watch_cancelled", args: watch, answers: answers{jobPath: {cancelledJob}}},
		{name: "job_watch_unknown", args: watch, answers: answers{jobPath: {"404 JOB_NOT_FOUND The specified job was not found"}}},
		{name: "job_logs", args: []string{"job", "logs", "job_1"}, answers: answers{eventPath: {runningEvent + logEvent + logEvent + succeededEvent}}},
		{name: "job_logs_json", args: []string{"job", "logs", "job_1", "--json"}, answers: answers{eventPath: {logEvent + succeededEvent}}},
	} {
		s.run(t)
	}
}
