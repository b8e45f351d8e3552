/**
 * A loop that does jobs: it takes leases, runs handlers, heartbeats, reports, and drains when it is told to end.
 *
 * ```ts
 * import { Tallygate } from "tallygate";
 * import { Worker } from "tallygate/worker";
 *
 * const worker = new Worker(new Tallygate(), {
 *   handlers: { "text.stats": ({ text }: { text: string }) => ({ words: text.split(/\s+/).length }) },
 *   concurrency: 4,
 * });
 * await worker.run(); // until SIGTERM or SIGINT
 * ```
 *
 * @packageDocumentation
 */

import { Attempt } from "./attempt.js";
import type { Answer, Caller } from "./call.js";
import { callerOf, type Tallygate } from "./client.js";
import { sleep } from "./clock.js";
import { type Duration, milliseconds, notation } from "./duration.js";
import { APIError, CallError, errorOf, retries, TallygateError } from "./errors.js";
import { backoff, httpDate } from "./policy.js";
import type { Job, Lease, LeaseRequest, Leases, Report, ReportResult, ReportResults } from "./types.js";

export { Attempt, CancelRequested, Draining, LeaseLost } from "./attempt.js";

/**
 * Does one job: what it returns is the result, what it throws fails the attempt. The type of the input is the handler's
 * own word; the job type's schema is what checks it.
 */
// biome-ignore lint/suspicious/noExplicitAny: each handler names the type of its own input
export type Handler = (input: any, attempt: Attempt) => unknown;

/** What a handler's error says beside its message. */
export interface HandlerErrorOptions extends ErrorOptions {
	/** Whether the job itself failed, or something that it needs. */
	code?: "PROCESSING_FAILED" | "EXTERNAL_SERVICE_ERROR";
}

/** A handler's word that another attempt would fail as well. */
export class FinalError extends TallygateError {
	readonly code: string;

	override get name(): string {
		return "FinalError";
	}

	constructor(message: string, options: HandlerErrorOptions = {}) {
		super(message, options);
		this.code = options.code ?? "PROCESSING_FAILED";
	}
}

/** A handler's word that another attempt should not begin before some time has passed. */
export class RetryLater extends TallygateError {
	readonly code: string;
	/** Milliseconds. */
	readonly delay: number;

	override get name(): string {
		return "RetryLater";
	}

	constructor(message: string, delay: Duration, options: HandlerErrorOptions = {}) {
		super(message, options);
		this.code = options.code ?? "PROCESSING_FAILED";
		this.delay = milliseconds(delay);
	}
}

export interface WorkerOptions {
	/** What does the jobs of each type. */
	handlers: Record<string, Handler>;
	/** Most jobs at once; by default 1. */
	concurrency?: number;
	/** A name for people; by default of the host and process. */
	name?: string;
	/** How long jobs may go on once the worker is to end; what is left then is given back. By default 10 s. */
	drainTimeout?: Duration;
	/** Signals of the process that end the worker; by default SIGTERM and SIGINT. A second one ends the process. */
	signals?: readonly string[];
	/**
	 * Hears of what goes wrong beside the jobs: leases that are lost, reports that are refused, a server that is away. By
	 * default the client's logger does.
	 */
	onError?: (error: unknown, job: Job | undefined) => void;
}

/** How long one call waits for a job. */
const leaseWait = "30s";

/** Reports of one call: at most so many, and so many bytes, unless a single one is larger. */
const mostReports = 1000;
const mostReportBytes = 1 << 20;

/** How long a worker that ends tries to give back what is left, in milliseconds. */
const farewell = 3000;

/** What the server takes as the message of a failure, in bytes, and as its delay. */
const mostMessage = 4000;
const mostDelay = 24 * 3_600_000;

/** A report that waits to be made, with what it settles. */
interface Parcel {
	report: Report;
	bytes: number;
	attempt: Attempt;
	/** Whether it is sent by itself, since it was in a batch that was refused as a whole. */
	alone: boolean;
}

/** Does jobs until it is told to end. */
export class Worker {
	readonly #caller: Caller;
	readonly #client: Tallygate;
	readonly #options: WorkerOptions;
	readonly #types: string[];
	readonly #concurrency: number;
	readonly #drainTimeout: number;
	readonly #name: string;
	/** Jobs at work. */
	readonly #running = new Set<Attempt>();
	/** Reports to make, oldest first. */
	#outbox: Parcel[] = [];
	/** Slots that a call on its way may fill. */
	#reserved = 0;
	#polling = false;
	#reporting = false;
	#draining = false;
	#failure: unknown;
	/** Ends the calls that wait for jobs. */
	readonly #stopLeasing = new AbortController();
	/** Ends every call. */
	readonly #stopCalls = new AbortController();
	#begun: Promise<void> | undefined;
	#done: () => void = () => {};

	constructor(client: Tallygate, options: WorkerOptions) {
		this.#client = client;
		this.#caller = callerOf(client);
		this.#options = options;
		this.#types = Object.keys(options.handlers);
		this.#concurrency = options.concurrency ?? 1;
		this.#drainTimeout = milliseconds(options.drainTimeout ?? "10s");
		this.#name = options.name ?? processName();
		if (this.#types.length === 0) {
			throw new TallygateError("a worker needs a handler of at least one job type");
		}
		if (!Number.isInteger(this.#concurrency) || this.#concurrency < 1 || this.#concurrency > 1000) {
			throw new TallygateError(`concurrency must be a whole number from 1 to 1000, not ${this.#concurrency}`);
		}
	}

	/**
	 * Does jobs until `stop`, the signal or one of the process ends it, and returns when what it had is settled or given
	 * back. Throws what makes going on pointless, such as a key that is revoked or a job type that does not exist.
	 */
	async run(options: { signal?: AbortSignal } = {}): Promise<void> {
		if (this.#begun) {
			throw new TallygateError("a worker runs once");
		}
		this.#begun = new Promise((resolve) => {
			this.#done = resolve;
		});
		const names = this.#options.signals ?? ["SIGTERM", "SIGINT"];
		const stop = () => {
			unlisten();
			this.#drain();
		};
		const unlisten = listen(names, stop);
		options.signal?.addEventListener("abort", stop);
		if (options.signal?.aborted) {
			stop();
		}
		try {
			this.#pump();
			await this.#begun;
		} finally {
			unlisten();
			options.signal?.removeEventListener("abort", stop);
			this.#stopCalls.abort();
		}
		if (this.#failure !== undefined) {
			throw this.#failure;
		}
	}

	/** Ends the worker as SIGTERM does, and returns when it has ended. */
	async stop(): Promise<void> {
		this.#drain();
		await this.#begun;
	}

	/** Does whatever can be done next. Whoever changes something calls this. */
	#pump(): void {
		if (this.#outbox.length > 0 && !this.#reporting) {
			void this.#report();
		}
		if (!this.#draining && !this.#polling && !this.#reporting && this.#free > 0) {
			void this.#poll();
		}
		if (this.#draining && this.#running.size === 0 && this.#outbox.length === 0 && !this.#reporting && !this.#polling) {
			this.#done();
		}
	}

	get #free(): number {
		return this.#concurrency - this.#running.size - this.#reserved;
	}

	#leaseRequest(wait: string): LeaseRequest {
		return { types: this.#types, max: this.#free, wait, worker: this.#name };
	}

	/** Waits for jobs with all the slots that are free. */
	async #poll(): Promise<void> {
		const request = this.#leaseRequest(leaseWait);
		this.#polling = true;
		this.#reserved += request.max as number;
		let leased: Answer<Leases> | undefined;
		try {
			leased = await this.#untilAnswered("leaseJobs", "/v1/worker/lease", request, this.#stopLeasing.signal);
		} finally {
			this.#polling = false;
			this.#reserved -= request.max as number;
			this.#take(leased?.value.leases ?? [], leased);
			this.#pump();
		}
	}

	/**
	 * Makes a call until it is answered, however long the server is away; undefined where the worker is to end before, or
	 * going on is pointless.
	 */
	async #untilAnswered<Value>(
		operation: string,
		path: string,
		body: LeaseRequest,
		signal: AbortSignal,
	): Promise<Answer<Value> | undefined> {
		for (let failures = 1; ; failures++) {
			try {
				return await this.#caller.call<Value>(
					{ operation, method: "POST", path, body, wait: body.wait ?? undefined },
					{ signal },
				);
			} catch (error) {
				if (signal.aborted) {
					return undefined;
				}
				if (!transient(error)) {
					this.#fail(error);
					return undefined;
				}
				this.#tell(error);
				await this.#pause(failures, signal);
			}
		}
	}

	/** Waits before a call is made again that has used up its attempts. */
	#pause(failures: number, signal: AbortSignal): Promise<void> {
		return sleep(this.#caller.clock, backoff(failures + 2, 1, this.#caller.clock.random()), signal).catch(() => {});
	}

	/** Begins the jobs that were leased; those that come too late go back at once. */
	#take(leases: readonly Lease[], answer: Answer<unknown> | undefined): void {
		const { clock } = this.#caller;
		// The server's clock judges leases. Its Date has whole seconds, so that a lease may seem up to a second longer than it
		// is: heartbeats come long before its end, and a report that comes too late is refused by its token.
		const told = answer?.headers.date;
		const serverNow = (told === undefined ? undefined : httpDate(told, clock.now())) ?? clock.now();
		for (const lease of leases) {
			const attempt = new Attempt(this.#client, clock, lease, Date.parse(lease.expires_at) - serverNow, (error) =>
				this.#tell(error, lease.job),
			);
			if (this.#draining) {
				this.#post(attempt, { job_id: lease.job.id, token: lease.token, outcome: "released" });
			} else {
				this.#running.add(attempt);
				void this.#work(attempt);
			}
		}
	}

	/** Does one job and hands its report over. */
	async #work(attempt: Attempt): Promise<void> {
		const handler = this.#options.handlers[attempt.job.type] as Handler;
		let report: Report | undefined;
		try {
			report = succeeded(attempt, await handler(attempt.job.input, attempt));
		} catch (error) {
			report = failed(attempt, error);
		}
		await attempt.flush();
		// A drain may have given the job back meanwhile.
		if (this.#running.delete(attempt) && report) {
			this.#post(attempt, report);
		}
		this.#pump();
	}

	/** Puts a report into the outbox. The lease is renewed until the server has taken the report. */
	#post(attempt: Attempt, report: Report, alone = false): void {
		attempt.settle();
		this.#outbox.push({ report, bytes: JSON.stringify(report).length, attempt, alone });
	}

	/** Makes the oldest reports, and takes as many jobs as there are free slots. */
	async #report(): Promise<void> {
		this.#reporting = true;
		const batch = this.#nextBatch();
		const lease = !this.#draining && this.#free > 0 ? this.#leaseRequest("0s") : undefined;
		this.#reserved += lease?.max ?? 0;
		let answer: Answer<ReportResults> | undefined;
		try {
			answer = await this.#caller.call<ReportResults>(
				{
					operation: "reportJobs",
					method: "POST",
					path: "/v1/worker/report",
					body: { reports: batch.map((parcel) => parcel.report), ...(lease ? { lease } : {}) },
				},
				{ signal: this.#stopCalls.signal },
			);
		} catch (error) {
			await this.#reportFailed(batch, error);
		} finally {
			this.#reporting = false;
			this.#reserved -= lease?.max ?? 0;
		}
		if (answer) {
			const { results } = answer.value;
			batch.forEach((parcel, i) => {
				this.#settled(parcel, results[i]);
			});
			this.#take(answer.value.leases ?? [], answer);
		}
		this.#pump();
	}

	#nextBatch(): Parcel[] {
		let n = 0;
		for (let bytes = 0; n < Math.min(this.#outbox.length, mostReports); n++) {
			const parcel = this.#outbox[n] as Parcel;
			bytes += parcel.bytes;
			if (n > 0 && (bytes > mostReportBytes || parcel.alone)) {
				break;
			}
			if (parcel.alone) {
				n = 1;
				break;
			}
		}
		return this.#outbox.splice(0, n);
	}

	/** Looks at what became of one report. */
	#settled({ report, attempt }: Parcel, result: ReportResult | undefined): void {
		const refusal = result?.error;
		if (!refusal) {
			attempt.end();
			return;
		}
		const retryable = retries(refusal.code) ?? false;
		const error = errorOf(refusal.code, { message: refusal.message, status: 200, retryable });
		if (retryable) {
			this.#post(attempt, report, true);
		} else if (report.outcome === "succeeded" && refusal.code === "INVALID_PARAMETER") {
			// The lease holds: the server does not take what the handler says, such as a unit that the type does not meter.
			this.#post(attempt, failure(attempt, `the result was refused: ${refusal.message}`, { retry: false }));
		} else {
			attempt.end();
			this.#tell(error, attempt.job);
		}
	}

	/** Decides what follows a batch that was not answered. */
	async #reportFailed(batch: Parcel[], error: unknown): Promise<void> {
		if (this.#stopCalls.signal.aborted) {
			return;
		}
		if (transient(error)) {
			this.#outbox.unshift(...batch);
			this.#tell(error);
			await this.#pause(1, this.#stopCalls.signal);
			return;
		}
		const refused = error instanceof APIError && error.status === 400;
		if (!refused) {
			this.#fail(error);
			for (const parcel of batch) {
				parcel.attempt.end();
			}
			return;
		}
		const [only] = batch;
		if (batch.length > 1) {
			this.#outbox.unshift(...batch.map((parcel) => ({ ...parcel, alone: true })));
		} else if (only?.report.outcome === "succeeded") {
			this.#post(only.attempt, failure(only.attempt, `the result was refused: ${error.message}`, { retry: false }));
		} else if (only) {
			only.attempt.end();
			this.#tell(error, only.attempt.job);
		}
	}

	/** Ends the worker with an error. */
	#fail(error: unknown): void {
		this.#failure ??= error;
		this.#drain();
	}

	/** Takes no more jobs, and gives back those that are not done in time. */
	#drain(): void {
		if (this.#draining) {
			return;
		}
		this.#draining = true;
		this.#stopLeasing.abort();
		if (!this.#begun) {
			return;
		}
		const { clock } = this.#caller;
		let stopTimer = clock.timer(this.#drainTimeout, () => {
			for (const attempt of this.#running) {
				attempt.drain();
				this.#post(attempt, { job_id: attempt.job.id, token: attempt.token, outcome: "released" });
			}
			this.#running.clear();
			this.#pump();
			stopTimer = clock.timer(farewell, () => {
				// The server is away: leases end by themselves.
				this.#stopCalls.abort();
				for (const { attempt } of this.#outbox.splice(0)) {
					attempt.end();
				}
				this.#pump();
			});
		});
		void this.#begun.then(() => stopTimer());
		this.#pump();
	}

	/** Tells of something that went wrong. */
	#tell(error: unknown, job?: Job): void {
		const { onError } = this.#options;
		if (onError) {
			try {
				onError(error, job);
			} catch (thrown) {
				this.#fail(thrown);
			}
		} else {
			this.#caller.warn(`tallygate: worker: ${job ? `${job.id}: ` : ""}${error}`);
		}
	}
}

/** Reports whether a call that has used up its attempts may still succeed later. */
function transient(error: unknown): boolean {
	return error instanceof CallError && error.retryable;
}

function succeeded(attempt: Attempt, value: unknown): Report | undefined {
	if (attempt.lost) {
		return undefined;
	}
	const result = value ?? null;
	let text: string | undefined;
	try {
		text = JSON.stringify(result);
	} catch (cause) {
		throw new FinalError("the handler's result cannot be written as JSON", { cause });
	}
	if (text === undefined) {
		throw new FinalError("the handler's result cannot be written as JSON");
	}
	return { job_id: attempt.job.id, token: attempt.token, outcome: "succeeded", result, units: attempt.units };
}

function failed(attempt: Attempt, error: unknown): Report | undefined {
	if (attempt.lost) {
		return undefined;
	}
	if (attempt.cancelRequested) {
		// The server makes a cancelled job of it.
		return { job_id: attempt.job.id, token: attempt.token, outcome: "released" };
	}
	const message = error instanceof Error ? error.message || error.name : String(error);
	return failure(attempt, message, {
		code:
			(error as { code?: unknown } | null)?.code === "EXTERNAL_SERVICE_ERROR" ? "EXTERNAL_SERVICE_ERROR" : undefined,
		retry: !(error instanceof FinalError),
		delay: error instanceof RetryLater ? Math.min(error.delay, mostDelay) : undefined,
	});
}

interface HowItFailed {
	code?: "EXTERNAL_SERVICE_ERROR" | undefined;
	retry: boolean;
	delay?: number | undefined;
}

function failure(attempt: Attempt, message: string, { code, retry, delay }: HowItFailed): Report {
	return {
		job_id: attempt.job.id,
		token: attempt.token,
		outcome: "failed",
		error: { message: clipped(message || "the handler failed"), ...(code ? { code } : {}) },
		retry,
		...(delay === undefined ? {} : { retry_after: notation(delay) }),
	};
}

/** Cuts a message down to what the server takes. */
function clipped(message: string): string {
	const bytes = new TextEncoder().encode(message);
	if (bytes.length <= mostMessage) {
		return message;
	}
	return `${new TextDecoder().decode(bytes.subarray(0, mostMessage - 10)).replace(/\uFFFD$/, "")}…`;
}

/** The parts of the runtimes that are not everywhere. */
interface Runtime {
	process?: {
		pid?: number;
		env?: Record<string, string | undefined>;
		on?(signal: string, listener: () => void): void;
		off?(signal: string, listener: () => void): void;
	};
}

const { process } = globalThis as unknown as Runtime;

function processName(): string {
	let host: string | undefined;
	try {
		host = process?.env?.HOSTNAME;
	} catch {
		// Deno, without leave to read it
	}
	return `${host || "worker"}-${process?.pid ?? 0}`;
}

/** Listens for signals of the process, and returns what stops it. */
function listen(names: readonly string[], listener: () => void): () => void {
	for (const name of names) {
		process?.on?.(name, listener);
	}
	return () => {
		for (const name of names) {
			process?.off?.(name, listener);
		}
	};
}
