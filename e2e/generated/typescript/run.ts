// Runs a job with the types that openapi-typescript makes of the API's description: it submits, waits, and reads the
// result, while it works on the job itself. TALLYGATE_URL, TALLYGATE_KEY (a client's) and TALLYGATE_WORKER_KEY say where
// and as whom.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./tallygate.js";

function connect(key: string) {
  return createClient<paths>({
    baseUrl: process.env.TALLYGATE_URL!,
    headers: { Authorization: `Bearer ${process.env[key]}` },
  });
}

// work does one job.
async function work(): Promise<void> {
  const worker = connect("TALLYGATE_WORKER_KEY");
  const leased = await worker.POST("/v1/worker/lease", { body: { types: ["text.stats"], max: 1, wait: "30s" } });
  const [lease] = leased.data?.leases ?? [];
  assert(lease, JSON.stringify(leased.error));
  const { text } = lease.job.input as { text: string };
  const body = { token: lease.token, result: { words: text.split(" ").length } };
  const reported = await worker.POST("/v1/worker/jobs/{id}/succeed", { params: { path: { id: lease.job.id } }, body });
  assert.equal(reported.data?.ok, true, JSON.stringify(reported.error));
}

const client = connect("TALLYGATE_KEY");
const submitted = await client.POST("/v1/jobs", {
  params: { header: { "Idempotency-Key": crypto.randomUUID() } },
  body: { type: "text.stats", input: { text: "Call me Ishmael." }, priority: 0 },
});
assert(submitted.data, JSON.stringify(submitted.error));
const path = { id: submitted.data.id };
const [waited] = await Promise.all([client.GET("/v1/jobs/{id}", { params: { path, query: { wait: "30s" } } }), work()]);
const job: components["schemas"]["Job"] | undefined = waited.data;
assert(job, JSON.stringify(waited.error));
assert.equal(job.status, "succeeded");
const result = await client.GET("/v1/jobs/{id}/result", { params: { path } });
assert.deepEqual(result.data, { words: 3 });
console.log(`${job.id}: 3 words, charged ${job.receipt.charged}`);

// An error is read as one.
const none = await client.GET("/v1/jobs/{id}", { params: { path: { id: "job_00000000000000000000000000" } } });
assert.equal(none.error?.error.code, "JOB_NOT_FOUND");
