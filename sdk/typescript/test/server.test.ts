// The package against the real server.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { inspect } from "node:util";
import {
	APIError,
	ApiKeyNotFoundError,
	ConnectionError,
	InsufficientBalanceError,
	InvalidParameterError,
	JobCancelledError,
	MissingParameterError,
	ProcessingFailedError,
	RevokedApiKeyError,
	Tallygate,
	WaitTimeoutError,
	webhooks,
} from "tallygate";
import { CancelRequested, FinalError, RetryLater, Worker, type WorkerOptions } from "tallygate/worker";
import { Server } from "./server.js";

let server: Server;
let operator: Tallygate;
let customer: Tallygate;

before(async () => {
	server = await Server.start();
	operator = server.operator();
	customer = await server.customer();
});

after(() => server.stop());

/** Defines a job type for the test and runs a worker for it while the test goes on. */
async function working(
	type: string,
	options: Omit<WorkerOptions, "signals">,
	test: () => Promise<void>,
): Promise<void> {
	await define(type);
	const worker = new Worker(operator, { signals: [], ...options });
	const ran = worker.run();
	try {
		await test();
	} finally {
		await worker.stop();
		await ran;
	}
}

async function define(type: string): Promise<void> {
	await operator.jobTypes.define(type, {
		input_schema: { type: "object" },
		price: { base: "0.01", units: { page: { price: "0.002", max: 100 } } },
		executor: { kind: "pull" },
		lease: "1s",
	});
}

test("a job is submitted, done and charged", async () => {
	const count = (input: { text: string }, attempt: { use: (unit: string, n: number) => void }) => {
		attempt.use("page", 3);
		return { words: input.text.split(" ").length };
	};
	await working("text.stats", { handlers: { "text.stats": count } }, async () => {
		const result = await customer.run<{ words: number }>("text.stats", { text: "one two three" });
		assert.deepEqual(result, { words: 3 });

		const [job] = await customer.jobs.list({ type: "text.stats" }).toArray(1);
		assert.equal(job?.status, "succeeded");
		assert.equal(job.receipt.charged, "0.016");
		assert.equal(job.receipt.released, "0.194");
		assert.deepEqual(job.receipt.units, { page: 3 });
		assert.deepEqual(await customer.jobs.result(job.id), { words: 3 });

		assert.deepEqual(await customer.jobs.runDirect("text.stats", { text: "one two" }), { words: 2 });
	});
	const { balance } = await customer.account.get();
	assert.equal(balance.available, "99.968");
	const entries = await customer.account.entries({ limit: 2 }).toArray();
	assert.deepEqual(
		entries.map((entry) => entry.kind),
		["release", "charge", "hold", "release", "charge", "hold", "credit"],
	);
	const usage = await customer.account.usage();
	assert.deepEqual(
		usage.data.map(({ type, succeeded, charged }) => ({ type, succeeded, charged })),
		[{ type: "text.stats", succeeded: 2, charged: "0.032" }],
	);
});

test("progress and log lines are told while a job runs, and its events in order", async () => {
	const told = new Signal();
	const handler = async (_: unknown, attempt: { progress: (p: number) => void; log: (line: string) => void }) => {
		attempt.progress(0.5);
		attempt.log("half of it");
		await told.promise;
		attempt.log("the rest");
		return "done";
	};
	await working("told", { handlers: { told: handler } }, async () => {
		const progress: number[] = [];
		const lines: string[] = [];
		const result = await customer.run(
			"told",
			{},
			{
				onProgress: (p) => progress.push(p),
				onLog: (line) => {
					lines.push(line);
					told.give();
				},
			},
		);
		assert.equal(result, "done");
		assert.deepEqual(progress, [0.5, 1]);
		assert.deepEqual(lines, ["half of it", "the rest"]);

		const [job] = await customer.jobs.list({ type: "told" }).toArray();
		const events = [];
		for await (const event of customer.jobs.events(job?.id as string)) {
			events.push(event);
		}
		assert.deepEqual(
			events.map((event) => event.kind),
			["job.queued", "job.running", "job.progress", "job.log", "job.log", "job.succeeded"],
		);
		const rest = [];
		for await (const event of customer.jobs.events(job?.id as string, { lastEventId: events[3]?.lastEventId })) {
			rest.push(event.kind);
		}
		assert.deepEqual(rest, ["job.log", "job.succeeded"]);
	});
});

test("what a handler throws becomes the job's error", async () => {
	let tries = 0;
	const handlers = {
		fails: ({ how }: { how: string }) => {
			tries++;
			if (how === "final") {
				throw new FinalError("the text is in no known language");
			}
			if (how === "later" && tries === 1) {
				throw new RetryLater("the disk is full", "1ms");
			}
			if (how === "upstream") {
				throw new FinalError("the model is down", { code: "EXTERNAL_SERVICE_ERROR" });
			}
			if (how === "unit") {
				return "done";
			}
			return tries;
		},
	};
	await working("fails", { handlers }, async () => {
		await assert.rejects(customer.run("fails", { how: "final" }), (error: ProcessingFailedError) => {
			assert.ok(error instanceof ProcessingFailedError);
			assert.equal(error.message, "the text is in no known language");
			assert.equal(error.status, 500);
			assert.equal(error.retryable, false);
			return true;
		});
		await assert.rejects(customer.run("fails", { how: "upstream" }), { code: "EXTERNAL_SERVICE_ERROR" });
		tries = 0;
		assert.equal(await customer.run("fails", { how: "later" }), 2);
	});
});

test("a result that the server refuses fails the job", async () => {
	const handler = (_: unknown, attempt: { use: (unit: string) => void }) => {
		attempt.use("furlong");
		return 1;
	};
	await working("refused", { handlers: { refused: handler } }, async () => {
		await assert.rejects(customer.run("refused", {}), /furlong/);
	});
	await working("circular", { handlers: { circular: () => 1n } }, async () => {
		await assert.rejects(customer.run("circular", {}), /cannot be written as JSON/);
	});
	await working("huge", { handlers: { huge: () => "x".repeat(5 << 20) } }, async () => {
		await assert.rejects(customer.run("huge", {}), /over its limit/);
	});
});

test("a running job that is cancelled tells its handler", async () => {
	const begun = new Signal();
	let reason: unknown;
	const handler = (_: unknown, attempt: { signal: AbortSignal }) =>
		new Promise((_, reject) => {
			begun.give();
			attempt.signal.addEventListener("abort", () => {
				reason = attempt.signal.reason;
				reject(reason);
			});
		});
	await working("slow", { handlers: { slow: handler } }, async () => {
		const job = await customer.jobs.submit({ type: "slow", input: {} });
		await begun.promise;
		const asked = await customer.jobs.cancel(job.id);
		assert.equal(asked.status, "running");
		assert.equal((await customer.jobs.wait(job.id)).status, "cancelled");
		assert.ok(reason instanceof CancelRequested);
	});
});

test("a wait ends with its time, and cancels where that is asked for", async () => {
	await define("idle");
	const job = await customer.jobs.submit({ type: "idle", input: {} });
	await assert.rejects(customer.jobs.wait(job.id, { timeout: "100ms" }), (error: WaitTimeoutError) => {
		assert.ok(error instanceof WaitTimeoutError);
		assert.equal(error.job.status, "queued");
		return true;
	});
	await assert.rejects(customer.jobs.wait(job.id, { timeout: "100ms", cancelOnTimeout: true }), WaitTimeoutError);
	assert.equal((await customer.jobs.get(job.id)).status, "cancelled");

	// With a callback the submit does not wait, so that the same request can be made here.
	const run = customer.run("idle", {}, { idempotencyKey: "idle-1", onLog: () => {} });
	const same = await customer.jobs.submit({ type: "idle", input: {} }, { idempotencyKey: "idle-1" });
	await customer.jobs.cancel(same.id);
	await assert.rejects(run, (error: JobCancelledError) => {
		assert.ok(error instanceof JobCancelledError);
		assert.equal(error.job.id, same.id);
		return true;
	});
});

test("an abort ends a call wherever it is", async () => {
	const job = await customer.jobs.submit({ type: "idle", input: {} });
	const why = new Error("no more patience");
	const waiting = new AbortController();
	const wait = customer.jobs.wait(job.id, { signal: waiting.signal });
	waiting.abort(why);
	await assert.rejects(wait, why);

	const reading = new AbortController();
	await assert.rejects(async () => {
		for await (const event of customer.jobs.events(job.id, { signal: reading.signal })) {
			assert.equal(event.kind, "job.queued");
			reading.abort(why);
		}
	}, why);
	await customer.jobs.cancel(job.id);
});

test("a call that is made twice with one key has its effect once", async () => {
	const options = { idempotencyKey: "order-17" };
	const first = await customer.jobs.submit({ type: "idle", input: { n: 1 } }, options);
	const second = await customer.jobs.submit({ type: "idle", input: { n: 1 } }, options);
	assert.equal(second.id, first.id);
	await assert.rejects(customer.jobs.submit({ type: "idle", input: { n: 2 } }, options), InvalidParameterError);

	const answers: number[] = [];
	let lost = 0;
	const unlucky = await server.customer({
		onAnswer: ({ status }) => answers.push(status),
		fetch: async (url, init) => {
			const answer = await fetch(url, init);
			if (init.method === "POST" && lost++ === 0) {
				throw new TypeError("the answer is lost");
			}
			return answer;
		},
	});
	const job = await unlucky.jobs.submit({ type: "idle", input: {} });
	assert.equal(lost, 2);
	assert.equal((await unlucky.jobs.list().toArray()).length, 1);
	await unlucky.jobs.cancel(job.id);
	await customer.jobs.cancel(first.id);
});

test("a batch is submitted whole and done by a few workers", async () => {
	let most = 0;
	let now = 0;
	const handler = async ({ n }: { n: number }) => {
		most = Math.max(most, ++now);
		await new Promise((resolve) => setImmediate(resolve));
		now--;
		return n * n;
	};
	await working("square", { handlers: { square: handler }, concurrency: 8 }, async () => {
		const submissions = Array.from({ length: 200 }, (_, n) => ({
			type: "square",
			input: { n },
			metadata: { batch: "b1" },
		}));
		const { data } = await customer.jobs.submitBatch(submissions);
		assert.equal(data.length, 200);
		const results = await Promise.all(data.map((job) => customer.jobs.wait<number>(job.id)));
		results.forEach((job, n) => {
			assert.equal(job.result, n * n);
		});
		assert.ok(most > 1 && most <= 8, `${most} at once`);
		const found = await customer.jobs.list({ metadata: { batch: "b1" }, limit: 100 }).toArray();
		assert.equal(found.length, 200);
	});
});

test("refusals have their class, and say where they come from", async () => {
	await assert.rejects(customer.jobs.submit({ type: "idle" } as never), (error: MissingParameterError) => {
		assert.ok(error instanceof MissingParameterError && error instanceof APIError);
		assert.equal(error.code, "MISSING_PARAMETER");
		assert.equal(error.status, 400);
		assert.equal(error.attempts, 1);
		assert.equal(error.retryAfter, undefined);
		assert.equal(error.headers["x-error-code"], "MISSING_PARAMETER");
		assert.equal(error.requestId, error.headers["x-request-id"]);
		assert.equal(JSON.parse(error.body).error.message, error.message);
		return true;
	});
	await operator.jobTypes.define("dear", { price: { base: "1000.00" } });
	await assert.rejects(customer.jobs.submit({ type: "dear", input: {} }), InsufficientBalanceError);
	assert.equal((await customer.quote({ type: "dear", input: {} })).quoted, "1000.00");
	assert.equal((await operator.jobTypes.delete("dear")).deleted, true);

	const nobody = new Tallygate({ url: await refusing(), key: "tg_live_x", maxAttempts: 1 });
	await assert.rejects(nobody.health(), (error: ConnectionError) => {
		assert.ok(error instanceof ConnectionError);
		assert.match(error.message, /^cannot reach http:\/\/127\.0\.0\.1:[0-9]+: .*ECONNREFUSED/);
		return true;
	});
});

/** The address of a port at which nobody listens. */
async function refusing(): Promise<string> {
	const listener = createServer().listen(0, "127.0.0.1");
	await once(listener, "listening");
	const { port } = listener.address() as AddressInfo;
	listener.close();
	await once(listener, "close");
	return `http://127.0.0.1:${port}`;
}

test("keys are made, rotated and revoked, and shown to nobody by chance", async () => {
	const created = await customer.apiKeys.create({ name: "ci", permissions: ["preset:submit"] });
	assert.match(created.key as string, /^tg_live_/);
	assert.ok(!inspect(created).includes(created.key as string));
	const rotated = await customer.apiKeys.rotate(created.id, { overlap: "1h" });
	assert.equal((await customer.apiKeys.get(created.id)).replaced_by, rotated.id);
	const keys = await customer.apiKeys.list({ limit: 1 }).toArray();
	assert.equal(keys.length, 3);
	const other = new Tallygate({ url: server.url, key: rotated.key as string });
	await other.jobs.list().page();
	assert.equal((await customer.apiKeys.revoke(rotated.id)).status, "revoked");
	await assert.rejects(other.jobs.list().page(), RevokedApiKeyError);
	await assert.rejects(customer.apiKeys.get("key_none"), ApiKeyNotFoundError);
});

test("an operator keeps clients", async () => {
	const client = await operator.clients.create({ name: "Globex", limits: { running_jobs: 3 } });
	assert.equal((await operator.clients.update(client.id, { name: "Globex Ltd" })).name, "Globex Ltd");
	assert.equal((await operator.clients.suspend(client.id)).status, "suspended");
	assert.equal((await operator.clients.activate(client.id)).status, "active");
	const entry = await operator.clients.credit(client.id, { amount: "1.50" }, { idempotencyKey: "payment-1" });
	assert.equal(entry.balance.available, "1.50");
	assert.deepEqual(await operator.clients.entries(client.id).toArray(), [entry]);
	assert.deepEqual((await operator.clients.usage(client.id)).data, []);
	assert.deepEqual((await operator.clients.errors(client.id)).data, []);
	const key = await operator.clients.apiKeys.create(client.id, { permissions: ["jobs:read"] });
	assert.equal((await operator.clients.apiKeys.get(client.id, key.id)).client_id, client.id);
	assert.equal((await operator.clients.apiKeys.revoke(client.id, key.id)).status, "revoked");
	assert.equal((await operator.clients.get(client.id)).limits.running_jobs, 3);
	const [last] = await operator.audit.list().toArray(1);
	assert.equal(last?.kind, "api_key.revoked");
	assert.equal((await operator.health()).status, "ok");
	assert.equal((await operator.ready()).store?.engine, "sqlite");
	assert.match((await operator.openapi()).openapi, /^3\.1\./);
});

test("the server's signed call to an upstream is verified", async () => {
	const secret = "whsec_c2VjcmV0IG9mIHRoZSB1cHN0cmVhbQ==";
	const verified: unknown[] = [];
	const upstream = createServer(async (request, response) => {
		const chunks: Uint8Array[] = [];
		for await (const chunk of request) {
			chunks.push(chunk);
		}
		const body = Buffer.concat(chunks);
		await webhooks.verify(body, request.headers, secret);
		verified.push(JSON.parse(body.toString()));
		await assert.rejects(webhooks.verify(body, request.headers, "another secret"));
		response.setHeader("Content-Type", "application/json").end(JSON.stringify({ seen: true }));
	});
	upstream.listen(0, "127.0.0.1");
	await once(upstream, "listening");
	try {
		const { port } = upstream.address() as AddressInfo;
		await operator.jobTypes.define("upstream", {
			executor: { kind: "http", url: `http://127.0.0.1:${port}/`, secret },
		});
		assert.deepEqual(await customer.run("upstream", { text: "ünïcode" }), { seen: true });
		assert.deepEqual(verified, [{ text: "ünïcode" }]);
	} finally {
		upstream.close();
		upstream.closeAllConnections();
	}
});

test("a worker process that gets SIGTERM ends what it can and gives the rest back", async () => {
	await define("drain.short");
	await define("drain.long");
	const child = spawn(process.execPath, [fileURLToPath(new URL("drain-worker.js", import.meta.url))], {
		env: { ...process.env, TALLYGATE_URL: server.url, TALLYGATE_KEY: server.operatorKey },
		stdio: ["ignore", "pipe", "inherit"],
	});
	const exited = once(child, "exit");
	const short = await customer.jobs.submit({ type: "drain.short", input: {} });
	const long = await customer.jobs.submit({ type: "drain.long", input: {} });
	const lines: string[] = [];
	for await (const line of createInterface({ input: child.stdout })) {
		lines.push(line);
		if (lines.length === 2) {
			child.kill("SIGTERM");
		}
	}
	assert.deepEqual(await exited, [0, null]);
	assert.deepEqual(lines.slice(0, 2).sort(), [`begun ${short.id}`, `begun ${long.id}`].sort());
	assert.deepEqual(lines.slice(2), ["aborted Draining", "ended"]);
	assert.equal((await customer.jobs.get(short.id)).status, "succeeded");
	const given = await customer.jobs.get(long.id);
	assert.deepEqual([given.status, given.last_error], ["queued", null]);
	await customer.jobs.cancel(long.id);
});

/** Something that one part of a test waits for and another gives. */
class Signal {
	give: () => void = () => {};
	readonly promise = new Promise<void>((resolve) => {
		this.give = resolve;
	});
}
