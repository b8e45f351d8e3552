import type { Answer, Call, Caller, CallOptions, EffectOptions } from "./call.js";
import { type Duration, milliseconds, notation } from "./duration.js";
import { errorOf, JobCancelledError, WaitTimeoutError } from "./errors.js";
import type { List } from "./list.js";
import { listCall, segment } from "./path.js";
import type { Job, JobBatch, JobEvent, JobStatus, Submission, Time } from "./types.js";

/** How a call waits for a job's end at the server. */
export interface ServerWait {
	/** The answer comes when the job has ended, or after this time, at most 5 min; by default at once. */
	wait?: Duration | undefined;
}

/** Which jobs a list holds. */
export interface JobFilter {
	status?: JobStatus | undefined;
	type?: string | undefined;
	createdAfter?: Time | Date | undefined;
	createdBefore?: Time | Date | undefined;
	/** Jobs whose metadata has these values. */
	metadata?: Record<string, string> | undefined;
	/** Operators alone: of one client; by default of all. */
	clientId?: string | undefined;
	/** Jobs of a page: 1 to 100, by default 20. */
	limit?: number | undefined;
	/** Where the first page begins. */
	cursor?: string | undefined;
}

/** How to wait for a job. */
export interface WaitOptions extends Omit<CallOptions, "timeout"> {
	/** How long to wait at most; by default for ever. */
	timeout?: Duration | undefined;
	/** Cancels the job when the time is up. */
	cancelOnTimeout?: boolean | undefined;
	/** Is told the job's progress, from 0 to 1, whenever it changes. */
	onProgress?: ((progress: number) => void) | undefined;
	/** Is told the job's log, line by line, as it comes. */
	onLog?: ((line: string) => void) | undefined;
}

/** How to run a job. */
export interface RunOptions extends WaitOptions, Omit<EffectOptions, "timeout"> {
	priority?: number | undefined;
	runAt?: Time | Date | undefined;
	/** Of the job, from its first start. */
	timeLimit?: Duration | undefined;
	maxCost?: string | undefined;
	metadata?: Record<string, unknown> | undefined;
}

/** How to follow a job's events. */
export interface EventsOptions extends CallOptions {
	/** Goes on after this event of the stream. */
	lastEventId?: string | undefined;
}

/** What a job's stream of events brings. */
export interface FollowedEvent extends JobEvent {
	/** Where a stream goes on after this event: its option of this name. */
	readonly lastEventId: string;
}

/** The most that one call asks the server to wait for a job. */
const longestWait = 30_000;

/** Jobs: submit, look, wait, cancel. */
export class Jobs {
	readonly #caller: Caller;

	/** @internal */
	constructor(caller: Caller) {
		this.#caller = caller;
	}

	/** Submits a job. Once this returns it is on the server's disk and its cost is held. */
	async submit<Result = unknown>(
		submission: Submission,
		options: ServerWait & EffectOptions = {},
	): Promise<Job<Result>> {
		return (await submit<Result>(this.#caller, submission, options)).value;
	}

	/** Submits up to 1,000 jobs, all or none, and returns them in order. */
	async submitBatch(submissions: readonly Submission[], options: EffectOptions = {}): Promise<JobBatch> {
		const call: Call = {
			operation: "submitJobBatch",
			method: "POST",
			path: "/v1/jobs/batch",
			body: { jobs: submissions },
			effect: true,
		};
		return (await this.#caller.call<JobBatch>(call, options)).value;
	}

	/** Lists jobs, the newest first. */
	list(filter: JobFilter = {}, options: CallOptions = {}): List<Job> {
		const query: Record<string, string | number | undefined> = {
			status: filter.status,
			type: filter.type,
			created_after: timeOf(filter.createdAfter),
			created_before: timeOf(filter.createdBefore),
			client_id: filter.clientId,
		};
		for (const [name, value] of Object.entries(filter.metadata ?? {})) {
			query[`metadata[${name}]`] = value;
		}
		return listCall(this.#caller, "listJobs", "/v1/jobs", filter, options, query);
	}

	/** Returns a job as it is, or as it is when the wait is over. */
	async get<Result = unknown>(id: string, options: ServerWait & CallOptions = {}): Promise<Job<Result>> {
		return (await get<Result>(this.#caller, id, options)).value;
	}

	/** Returns the bare result of a job that succeeded. A failed one throws the error of its code. */
	async result<Result = unknown>(id: string, options: CallOptions = {}): Promise<Result> {
		const path = `${jobPath(id)}/result`;
		return (await this.#caller.call<Result>({ operation: "getJobResult", method: "GET", path, any: true }, options))
			.value;
	}

	/**
	 * Follows a job: states, progress and log lines, from its beginning to its end, as they happen. A stream that breaks
	 * off is resumed where it was.
	 */
	async *events(id: string, options: EventsOptions = {}): AsyncGenerator<FollowedEvent, void, undefined> {
		const call: Call = { operation: "streamJobEvents", method: "GET", path: `${jobPath(id)}/events` };
		for await (const event of this.#caller.stream(call, options, options.lastEventId ?? "")) {
			// Not enumerable: the event itself is what the server says.
			const told = Object.defineProperty(event.value, "lastEventId", { value: event.id }) as FollowedEvent;
			yield told;
			if (ended(told)) {
				return;
			}
		}
	}

	/** Cancels a job and returns it: a queued one ends at once, a running one is told, an ended one stays as it is. */
	async cancel(id: string, options: EffectOptions = {}): Promise<Job> {
		return (await cancel(this.#caller, id, options)).value;
	}

	/**
	 * Waits until the job has ended, however it did, and returns it. Past the time limit throws a WaitTimeoutError, after
	 * cancelling the job where that is asked for; one that has succeeded or failed meanwhile is returned.
	 */
	async wait<Result = unknown>(id: string, options: WaitOptions = {}): Promise<Job<Result>> {
		return (await new Waiting<Result>(this.#caller, this, options).untilEnd(id)).value;
	}

	/**
	 * Makes one request with the input as its body and the result as its answer. A job that takes longer than the wait
	 * (30 s) is refused with SERVICE_UNAVAILABLE, and the next attempt joins it. The client's `run` has no such bound.
	 */
	async runDirect<Result = unknown>(
		type: string,
		input: unknown,
		options: ServerWait & EffectOptions = {},
	): Promise<Result> {
		const call: Call = {
			operation: "runJob",
			method: "POST",
			path: `/v1/run/${segment(type)}`,
			query: waitQuery(options.wait),
			body: input ?? null,
			effect: true,
			wait: options.wait ?? usualRunWait,
			any: true,
		};
		return (await this.#caller.call<Result>(call, options)).value;
	}
}

/** How long the server holds the answer of a direct run that does not say. */
const usualRunWait = "30s";

/**
 * Submits a job, waits for its end and returns its result. A job that fails throws the error of its code, one that is
 * cancelled a JobCancelledError, one that takes too long a WaitTimeoutError.
 */
export async function run<Result>(
	caller: Caller,
	jobs: Jobs,
	type: string,
	input: unknown,
	options: RunOptions,
): Promise<Result> {
	const submission: Submission = { type, input };
	if (options.priority !== undefined) {
		submission.priority = options.priority;
	}
	if (options.runAt !== undefined) {
		submission.run_at = timeOf(options.runAt) as Time;
	}
	if (options.timeLimit !== undefined) {
		submission.time_limit = notation(options.timeLimit);
	}
	if (options.maxCost !== undefined) {
		submission.max_cost = options.maxCost;
	}
	if (options.metadata !== undefined) {
		submission.metadata = options.metadata;
	}
	const waiting = new Waiting<Result>(caller, jobs, options);
	let answer = await waiting.submit(submission, options.idempotencyKey);
	if (!ended(answer.value)) {
		answer = await waiting.untilEnd(answer.value.id);
	}
	const job = answer.value;
	if (job.status === "succeeded") {
		return job.result as Result;
	}
	if (job.status === "cancelled") {
		throw new JobCancelledError(job);
	}
	const error = job.error ?? { code: "PROCESSING_FAILED", message: "the job failed" };
	const requestId = answer.headers["x-request-id"];
	throw errorOf(error.code, {
		message: error.message,
		status: 500,
		attempts: answer.attempts,
		headers: { ...answer.headers, "x-error-code": error.code, "x-should-retry": "false" },
		body: JSON.stringify({ error }),
		...(requestId === undefined ? {} : { requestId }),
	});
}

/** A wait for one job. */
class Waiting<Result> {
	readonly #caller: Caller;
	readonly #jobs: Jobs;
	readonly #options: WaitOptions;
	/** When its time is up. */
	readonly #end: number;
	/** The job as last known. */
	#last: Job | undefined;
	/** The progress that was told last. */
	#told: number | undefined;

	constructor(caller: Caller, jobs: Jobs, options: WaitOptions) {
		this.#caller = caller;
		this.#jobs = jobs;
		this.#options = options;
		this.#end =
			options.timeout === undefined ? Number.POSITIVE_INFINITY : caller.clock.now() + milliseconds(options.timeout);
	}

	get #left(): number {
		return Math.max(0, this.#end - this.#caller.clock.now());
	}

	/** What the next call asks the server to wait, and its own limits. */
	#next(): ServerWait & CallOptions {
		const { signal, maxAttempts, deadline } = this.#options;
		const left = this.#left;
		const longest =
			deadline === undefined
				? this.#caller.deadline
				: deadline === null
					? Number.POSITIVE_INFINITY
					: milliseconds(deadline);
		const own = left > 0 ? Math.min(left, longest) : longest;
		return {
			signal,
			maxAttempts,
			deadline: own === Number.POSITIVE_INFINITY ? null : own,
			wait: Math.min(longestWait, Math.ceil(left / 1000) * 1000),
		};
	}

	/** Whether somebody wants to hear how the job goes on. */
	get #tells(): boolean {
		return this.#options.onProgress !== undefined || this.#options.onLog !== undefined;
	}

	/** Tells a progress that differs from the last. */
	#tell(progress: unknown): void {
		if (typeof progress === "number" && progress !== this.#told) {
			this.#told = progress;
			this.#options.onProgress?.(progress);
		}
	}

	/** Submits the job. Where its progress is to be told, the wait begins after that. */
	async submit(submission: Submission, idempotencyKey: string | undefined): Promise<Answer<Job<Result>>> {
		const { wait, ...options } = this.#next();
		const answer = await submit<Result>(this.#caller, submission, {
			...options,
			idempotencyKey,
			wait: this.#tells ? undefined : wait,
		});
		this.#last = answer.value;
		this.#tell(answer.value.progress);
		return answer;
	}

	/** Asks for the job until it has ended. */
	async untilEnd(id: string): Promise<Answer<Job<Result>>> {
		if (this.#tells) {
			await this.#follow(id);
		}
		while (this.#left > 0 || this.#last === undefined) {
			const answer = await get<Result>(this.#caller, id, this.#next());
			this.#last = answer.value;
			this.#tell(answer.value.progress);
			if (ended(answer.value)) {
				return answer;
			}
		}
		if (this.#options.cancelOnTimeout) {
			const { signal, maxAttempts, deadline } = this.#options;
			const answer = await cancel<Result>(this.#caller, id, { signal, maxAttempts, deadline });
			this.#last = answer.value;
			if (answer.value.status === "succeeded" || answer.value.status === "failed") {
				return answer;
			}
		}
		const time = notation(this.#options.timeout ?? 0);
		throw new WaitTimeoutError(this.#last, `the job ${id} had not ended after ${time}`);
	}

	/** Tells what the job's events say, until it has ended, the time is up, or the stream is not to be had. */
	async #follow(id: string): Promise<void> {
		const { signal, maxAttempts, deadline, onLog } = this.#options;
		const over = new AbortController();
		const stop =
			this.#left === Number.POSITIVE_INFINITY ? () => {} : this.#caller.clock.timer(this.#left, () => over.abort());
		const either = signal ? AbortSignal.any([signal, over.signal]) : over.signal;
		const events = this.#jobs.events(id, { signal: either, maxAttempts, deadline });
		try {
			for (;;) {
				let next: IteratorResult<FollowedEvent, void>;
				try {
					next = await events.next();
				} catch {
					signal?.throwIfAborted();
					return; // the job is asked for instead
				}
				if (next.done) {
					return;
				}
				const { kind, data } = next.value;
				if (kind === "job.progress") {
					this.#tell(data?.progress);
				} else if (kind === "job.log" && typeof data?.line === "string") {
					onLog?.(data.line);
				}
			}
		} finally {
			stop();
			over.abort();
			await events.return();
		}
	}
}

/** Whether nothing more happens to the job. */
function ended(job: { status?: JobStatus }): boolean {
	return job.status === "succeeded" || job.status === "failed" || job.status === "cancelled";
}

function jobPath(id: string): string {
	return `/v1/jobs/${segment(id)}`;
}

function submit<Result>(
	caller: Caller,
	submission: Submission,
	options: ServerWait & EffectOptions,
): Promise<Answer<Job<Result>>> {
	const { wait } = options;
	const call: Call = {
		operation: "submitJob",
		method: "POST",
		path: "/v1/jobs",
		query: waitQuery(wait),
		body: submission,
		effect: true,
		wait,
	};
	return caller.call(call, options);
}

function get<Result>(caller: Caller, id: string, options: ServerWait & CallOptions): Promise<Answer<Job<Result>>> {
	const { wait } = options;
	return caller.call({ operation: "getJob", method: "GET", path: jobPath(id), query: waitQuery(wait), wait }, options);
}

function cancel<Result>(caller: Caller, id: string, options: EffectOptions): Promise<Answer<Job<Result>>> {
	return caller.call({ operation: "cancelJob", method: "POST", path: `${jobPath(id)}/cancel`, effect: true }, options);
}

function waitQuery(wait: Duration | undefined): { wait?: string } {
	return wait === undefined ? {} : { wait: notation(wait) };
}

function timeOf(time: Time | Date | undefined): Time | undefined {
	return time instanceof Date ? time.toISOString() : time;
}
