// The worker loop against a server that is played, by a clock that only the test moves.
import assert from "node:assert/strict";
import { test } from "node:test";
import { type FetchInit, type Job, type Lease, type ReportBatch, RevokedApiKeyError, Tallygate } from "tallygate";
import {
	type Attempt,
	Draining,
	FinalError,
	type Handler,
	LeaseLost,
	Worker,
	type WorkerOptions,
} from "tallygate/worker";
import { idle, VirtualClock } from "./virtual.js";

interface Asked {
	at: number;
	path: string;
	// biome-ignore lint/suspicious/noExplicitAny: each path has a body of its own
	body: any;
}

type Answer = { status?: number; body: unknown } | "broken";

/** A server that has jobs to do and remembers what it was asked. */
class PlayedServer {
	readonly clock = new VirtualClock();
	readonly asked: Asked[] = [];
	readonly #start = this.clock.now();
	#jobs: Lease[] = [];
	#waiting: (() => void)[] = [];
	/** Answers in place of the usual ones. */
	instead: (asked: Asked) => Answer | undefined = () => undefined;
	/** How long a lease lasts. */
	lease = 30_000;

	readonly fetch = async (url: string, init: FetchInit): Promise<Response> => {
		const asked = {
			at: this.clock.now() - this.#start,
			path: new URL(url).pathname,
			body: JSON.parse(init.body as string),
		};
		this.asked.push(asked);
		const instead = this.instead(asked);
		if (instead === "broken") {
			throw new TypeError("fetch failed");
		}
		const { status = 200, body } = instead ?? { body: await this.#answer(asked, init.signal) };
		return new Response(JSON.stringify(body), {
			status,
			headers: { Date: new Date(this.clock.now()).toUTCString() },
		});
	};

	async #answer({ path, body }: Asked, signal: AbortSignal): Promise<unknown> {
		if (path === "/v1/worker/lease") {
			if (this.#jobs.length === 0) {
				await this.#wait(seconds(body.wait), signal);
			}
			return { leases: this.#take(body.max) };
		}
		if (path === "/v1/worker/report") {
			const { reports, lease } = body as ReportBatch;
			return {
				results: reports.map(({ job_id }) => ({ job_id, ok: true })),
				leases: this.#take(lease?.max ?? 0),
			};
		}
		return { expires_at: this.#time(this.lease), cancel_requested: false };
	}

	#take(most: number): Lease[] {
		return this.#jobs.splice(0, most).map((lease) => ({ ...lease, expires_at: this.#time(this.lease) }));
	}

	#time(later: number): string {
		return new Date(this.clock.now() + later).toISOString();
	}

	#wait(ms: number, signal: AbortSignal): Promise<void> {
		return new Promise((resolve, reject) => {
			const stop = this.clock.timer(ms, resolve);
			this.#waiting.push(resolve);
			signal.addEventListener("abort", () => {
				stop();
				reject(signal.reason);
			});
		});
	}

	/** Has a job to do. */
	add(id: string, input: unknown = {}): void {
		const job = { id, type: "attempt", input, status: "running" } as Job;
		this.#jobs.push({ token: `token-${id}`, attempt: 1, expires_at: "", job });
		for (const wake of this.#waiting.splice(0)) {
			wake();
		}
	}

	/** What was reported, in order. */
	get reports(): { job_id: string; outcome: string }[] {
		return this.asked.filter(({ path }) => path === "/v1/worker/report").flatMap(({ body }) => body.reports);
	}

	get beats(): Asked[] {
		return this.asked.filter(({ path }) => path.endsWith("/heartbeat"));
	}

	worker(attempt: Handler, options: Partial<WorkerOptions> = {}): Worker {
		const client = new Tallygate({
			url: "http://server.test",
			key: "tg_live_case",
			fetch: this.fetch,
			clock: this.clock,
		});
		return new Worker(client, { handlers: { attempt }, signals: [], name: "w1", ...options });
	}

	/** Moves the clock on until the time has come. */
	async until(ms: number): Promise<void> {
		let come = false;
		this.clock.timer(this.#start + ms - this.clock.now(), () => {
			come = true;
		});
		for (await idle(); !come; await idle()) {
			this.clock.ring();
		}
	}
}

function seconds(text: string): number {
	return Number(text.replace(/s$/, "")) * 1000;
}

/** A handler that goes on until its test says. */
class Work {
	#ends = new Map<string, { done(value: unknown): void; fail(error: unknown): void }>();
	readonly tasks = new Map<string, Attempt>();

	readonly handler = (_: unknown, attempt: Attempt): Promise<unknown> => {
		this.tasks.set(attempt.job.id, attempt);
		return new Promise((done, fail) => this.#ends.set(attempt.job.id, { done, fail }));
	};

	done(id: string, value: unknown = id): void {
		this.#ends.get(id)?.done(value);
	}

	fail(id: string, error: unknown): void {
		this.#ends.get(id)?.fail(error);
	}
}

test("a lease is renewed at a third of its time, until its report is taken", async () => {
	const server = new PlayedServer();
	const work = new Work();
	const worker = server.worker(work.handler);
	const ran = worker.run();
	await server.until(1000);
	server.add("job_1");
	await server.until(32_000);
	assert.deepEqual(
		server.beats.map(({ at, body }) => [at, body]),
		[11_000, 21_000, 31_000].map((at) => [at, { token: "token-job_1" }]),
	);
	server.instead = ({ path }) => (path === "/v1/worker/report" ? "broken" : undefined);
	work.done("job_1");
	await server.until(52_000);
	assert.deepEqual(
		server.beats.slice(3).map(({ at }) => at),
		[41_000, 51_000],
	);
	server.instead = () => undefined;
	await server.until(90_000);
	assert.equal(server.beats.length, 5);
	await server.clock.drive(worker.stop());
	await ran;
	assert.deepEqual(server.reports.at(-1), {
		job_id: "job_1",
		token: "token-job_1",
		outcome: "succeeded",
		result: "job_1",
		units: {},
	});
});

test("the server's clock judges leases, not the worker's", async () => {
	const server = new PlayedServer();
	const work = new Work();
	const worker = server.worker(work.handler);
	// The server is an hour behind.
	const hour = 3_600_000;
	const fetch = server.fetch;
	const client = new Tallygate({
		url: "http://server.test",
		clock: server.clock,
		fetch: async (url, init) => {
			const answer = await fetch(url, init);
			const body = (await answer.text()).replace(/"expires_at":"([^"]*)"/g, (_, time: string) => {
				return `"expires_at":"${new Date(Date.parse(time) - hour).toISOString()}"`;
			});
			return new Response(body, { headers: { Date: new Date(server.clock.now() - hour).toUTCString() } });
		},
	});
	const apart = new Worker(client, { handlers: { attempt: work.handler }, signals: [] });
	const ran = apart.run();
	server.add("job_1");
	await server.until(25_000);
	assert.deepEqual(
		server.beats.map(({ at }) => at),
		[10_000, 20_000],
	);
	work.done("job_1");
	await server.clock.drive(apart.stop());
	await ran;
	await worker.stop();
});

test("progress and log lines go with the heartbeats, soon and together", async () => {
	const server = new PlayedServer();
	const work = new Work();
	const worker = server.worker(work.handler);
	const ran = worker.run();
	server.add("job_1");
	await server.until(100);
	const attempt = work.tasks.get("job_1") as Attempt;
	for (let n = 0; n < 150; n++) {
		attempt.progress(n / 1000);
		attempt.log(`line ${n}`);
	}
	attempt.log("two\nlines");
	attempt.log("é".repeat(3000));
	await server.until(3000);
	assert.deepEqual(
		server.beats.map(({ at }) => at),
		[1000, 2000],
	);
	assert.deepEqual(
		server.beats.map(({ body }) => body.progress),
		[0.149, undefined],
	);
	assert.equal(server.beats[0]?.body.logs.length, 100);
	const lines = server.beats.flatMap(({ body }) => body.logs);
	assert.deepEqual(lines.slice(150, 152), ["two", "lines"]);
	assert.deepEqual(lines.slice(152), ["é".repeat(2000), "é".repeat(1000)]);
	// What is left goes before the report.
	attempt.log("the last words");
	work.done("job_1");
	await server.until(3100);
	assert.deepEqual(server.beats.at(-1)?.body.logs, ["the last words"]);
	assert.ok(
		server.asked.findIndex(({ body }) => body.logs?.[0] === "the last words") <
			server.asked.findIndex(({ path }) => path.endsWith("/report")),
	);
	assert.throws(() => attempt.progress(2), RangeError);
	assert.throws(() => attempt.use("page", 1.5), RangeError);
	await server.clock.drive(worker.stop());
	await ran;
});

test("a lease that is lost aborts its handler, and nothing is reported", async () => {
	const server = new PlayedServer();
	const work = new Work();
	const errors: unknown[] = [];
	const worker = server.worker(work.handler, {
		onError: (error, job) => errors.push([(error as Error).message, job?.id]),
	});
	const ran = worker.run();
	server.add("job_1");
	server.instead = ({ path }) =>
		path.endsWith("/heartbeat")
			? { status: 400, body: { error: { code: "INVALID_REQUEST", message: "token: the lease has ended" } } }
			: undefined;
	await server.until(11_000);
	const { signal } = work.tasks.get("job_1") as Attempt;
	assert.ok(signal.aborted && signal.reason instanceof LeaseLost);
	work.done("job_1");
	await server.clock.drive(worker.stop());
	await ran;
	assert.deepEqual(server.reports, []);
	assert.equal(server.beats.length, 1);
	assert.deepEqual(errors, [["token: the lease has ended", "job_1"]]);
});

test("a thousand jobs take few calls, and no more run at once than may", async () => {
	const server = new PlayedServer();
	let now = 0;
	let most = 0;
	const worker = server.worker(
		async () => {
			most = Math.max(most, ++now);
			await Promise.resolve();
			now--;
		},
		{ concurrency: 100 },
	);
	for (let n = 0; n < 1000; n++) {
		server.add(`job_${n}`);
	}
	const ran = worker.run();
	await server.until(100);
	assert.equal(new Set(server.reports.map(({ job_id }) => job_id)).size, 1000);
	assert.equal(server.reports.length, 1000);
	assert.equal(most, 100);
	assert.ok(server.asked.length < 30, `${server.asked.length} calls`);
	await server.clock.drive(worker.stop());
	await ran;
});

test("what is not done when the drain is over is given back", async () => {
	const server = new PlayedServer();
	const work = new Work();
	const worker = server.worker(work.handler, { concurrency: 2, drainTimeout: "5s" });
	const end = new AbortController();
	const ran = worker.run({ signal: end.signal });
	server.add("job_1");
	server.add("job_2");
	await server.until(1000);
	end.abort();
	await server.until(2000);
	work.done("job_1");
	await server.until(5900);
	assert.deepEqual(
		server.reports.map(({ job_id, outcome }) => [job_id, outcome]),
		[["job_1", "succeeded"]],
	);
	await server.clock.drive(ran);
	assert.deepEqual(server.reports.at(-1), { job_id: "job_2", token: "token-job_2", outcome: "released" });
	const { signal } = work.tasks.get("job_2") as Attempt;
	assert.ok(signal.reason instanceof Draining);
	work.done("job_2");
	await idle();
	assert.equal(server.reports.length, 2);
	const leases = server.asked.filter(({ path, body }) => path.endsWith("/lease") || body.lease);
	assert.ok(
		leases.every(({ at }) => at <= 1000),
		"nothing is leased after the signal",
	);
});

test("a worker ends at once where it has nothing to do", async () => {
	const server = new PlayedServer();
	const worker = server.worker(() => 1);
	const ran = worker.run();
	await server.until(1000);
	await worker.stop();
	await ran;
	assert.equal(server.asked.length, 1);
	await assert.rejects(worker.run(), /runs once/);

	const never = server.worker(() => 1);
	await never.stop();
	await never.run();
	assert.equal(server.asked.length, 1);
});

test("a server that is away for good does not hold up the end", async () => {
	const server = new PlayedServer();
	const work = new Work();
	const worker = server.worker(work.handler, { onError: () => {} });
	const ran = worker.run();
	server.add("job_1");
	await server.until(1000);
	server.instead = () => "broken";
	await server.clock.drive(worker.stop());
	await ran;
	assert.ok((server.asked.at(-1)?.at as number) <= 14_000);
});

test("a server that is away is waited for", async () => {
	const server = new PlayedServer();
	const away: unknown[] = [];
	const worker = server.worker(() => 1, { onError: (error) => away.push(error) });
	server.instead = () => "broken";
	const ran = worker.run();
	await server.until(600_000);
	assert.ok(away.length > 10 && away.length < 200, `told ${away.length} times`);
	server.instead = () => undefined;
	server.add("job_1");
	await server.until(620_000);
	assert.equal(server.reports.length, 1);
	await server.clock.drive(worker.stop());
	await ran;
});

test("a key that is revoked ends the worker with its error", async () => {
	const server = new PlayedServer();
	const worker = server.worker(() => 1);
	server.instead = () => ({ status: 401, body: { error: { code: "REVOKED_API_KEY", message: "…" } } });
	await assert.rejects(server.clock.drive(worker.run()), RevokedApiKeyError);
	assert.equal(server.asked.length, 1);
});

test("a report that spoils its batch spoils no other", async () => {
	const server = new PlayedServer();
	const work = new Work();
	const worker = server.worker(work.handler, { concurrency: 3 });
	const ran = worker.run();
	for (const id of ["job_1", "job_2", "job_3"]) {
		server.add(id);
	}
	await server.until(100);
	server.instead = ({ path, body }) =>
		path === "/v1/worker/report" && body.reports.some((one: { result?: unknown }) => one.result === "bad")
			? { status: 400, body: { error: { code: "INVALID_REQUEST", message: "the body is over its limit" } } }
			: undefined;
	work.done("job_1");
	work.done("job_2", "bad");
	work.done("job_3");
	await server.until(200);
	const taken = server.asked
		.filter(
			({ path, body }) =>
				path === "/v1/worker/report" && !body.reports.some((one: { result?: unknown }) => one.result === "bad"),
		)
		.flatMap(({ body }) => body.reports);
	assert.deepEqual(
		taken.map(({ job_id, outcome, error, retry }) => [job_id, outcome, error?.message, retry]),
		[
			["job_1", "succeeded", undefined, undefined],
			["job_3", "succeeded", undefined, undefined],
			["job_2", "failed", "the result was refused: the body is over its limit", false],
		],
	);
	await server.clock.drive(worker.stop());
	await ran;
});

test("a report that the server cannot take now is made again", async () => {
	const server = new PlayedServer();
	let refused = 0;
	const worker = server.worker(() => 1);
	server.instead = ({ path, body }) =>
		path === "/v1/worker/report" && refused++ < 1
			? {
					body: {
						results: [{ job_id: body.reports[0].job_id, error: { code: "DATABASE_ERROR", message: "…" } }],
						leases: [],
					},
				}
			: undefined;
	server.add("job_1");
	const ran = worker.run();
	await server.until(10_000);
	assert.deepEqual(
		server.reports.map(({ job_id }) => job_id),
		["job_1", "job_1"],
	);
	await server.clock.drive(worker.stop());
	await ran;
});

test("a failure says what it is", async () => {
	const server = new PlayedServer();
	const thrown: Record<string, unknown> = {
		job_1: new Error("broken"),
		job_2: new FinalError("no use"),
		job_3: "a text",
		job_4: new Error("ü".repeat(5000)),
		job_5: new TypeError(""),
	};
	const worker = server.worker(
		(_, attempt) => {
			throw thrown[attempt.job.id];
		},
		{ concurrency: 5 },
	);
	for (const id of Object.keys(thrown)) {
		server.add(id);
	}
	const ran = worker.run();
	await server.until(100);
	assert.deepEqual(
		server.reports.map((report) => [
			report.job_id,
			(report as { error?: { message: string } }).error?.message,
			(report as { retry?: boolean }).retry,
		]),
		[
			["job_1", "broken", true],
			["job_2", "no use", false],
			["job_3", "a text", true],
			["job_4", `${"ü".repeat(1995)}…`, true],
			["job_5", "TypeError", true],
		],
	);
	await server.clock.drive(worker.stop());
	await ran;
});
