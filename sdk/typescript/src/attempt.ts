import type { Tallygate } from "./client.js";
import type { Clock } from "./clock.js";
import { APIError, TallygateError } from "./errors.js";
import type { Job, Lease } from "./types.js";

/** Why a attempt's signal is aborted: somebody cancelled the job. A result that comes all the same still counts. */
export class CancelRequested extends TallygateError {
	override get name(): string {
		return "CancelRequested";
	}
}

/** Why a attempt's signal is aborted: the lease has ended, another worker may have the job, and no report is taken. */
export class LeaseLost extends TallygateError {
	override get name(): string {
		return "LeaseLost";
	}
}

/** Why a attempt's signal is aborted: the worker ends, and the job has been given back. */
export class Draining extends TallygateError {
	override get name(): string {
		return "Draining";
	}
}

/** Progress and log lines are told within this time, in milliseconds. */
const promptness = 1000;

/** What one heartbeat takes: lines, and bytes of each. */
const mostLines = 100;
const mostLine = 4000;

/** How many lines may wait. */
const mostWaiting = 10_000;

/** The shortest time between two heartbeats, in milliseconds, however short the lease is. */
const shortestBeat = 50;

/** How long a lease is taken to last that does not say. */
const usualLease = 30_000;

/** One attempt at a job, as its handler sees it. */
export class Attempt {
	readonly #client: Tallygate;
	readonly #clock: Clock;
	readonly #token: string;
	readonly #tell: (error: unknown) => void;
	readonly #controller = new AbortController();
	/** Ends heartbeats on their way. */
	readonly #over = new AbortController();
	readonly #units: Record<string, number> = {};
	#lines: string[] = [];
	#dropped = 0;
	#progress: number | undefined;
	/** How long a lease lasts, in milliseconds. */
	readonly #lease: number;
	/** When the next heartbeat is due. */
	#due: number;
	#stopTimer: () => void = () => {};
	#beating: Promise<void> | undefined;
	#lastBeat: number;
	/** Whether a report is on its way. */
	#settling = false;
	#ended = false;
	#lost = false;
	#cancelRequested = false;

	/** The job: its id, metadata, when it was submitted. */
	readonly job: Job;
	/** Which attempt this is, from 1. */
	readonly number: number;

	/** @internal */
	constructor(client: Tallygate, clock: Clock, lease: Lease, milliseconds: number, tell: (error: unknown) => void) {
		this.#client = client;
		this.#clock = clock;
		this.#token = lease.token;
		this.#tell = tell;
		this.job = lease.job;
		this.number = lease.attempt;
		this.#lease = Number.isNaN(milliseconds) ? usualLease : Math.max(milliseconds, 3 * shortestBeat);
		this.#lastBeat = clock.now();
		this.#due = this.#lastBeat + this.#interval;
		this.#arm();
	}

	/** Is aborted when the work is in vain: its reason is a CancelRequested, a LeaseLost or a Draining. */
	get signal(): AbortSignal {
		return this.#controller.signal;
	}

	/** Tells how far the job is, from 0 to 1. */
	readonly progress = (progress: number): void => {
		if (!(progress >= 0 && progress <= 1)) {
			throw new RangeError(`progress is a number from 0 to 1, not ${progress}`);
		}
		this.#progress = progress;
		this.#hasten();
	};

	/** Writes to the job's log, a line at a time. */
	readonly log = (text: string): void => {
		for (const line of String(text).split(/\r\n|\n|\r/)) {
			for (const piece of cut(line)) {
				if (this.#lines.length < mostWaiting) {
					this.#lines.push(piece);
				} else {
					this.#dropped++;
				}
			}
		}
		this.#hasten();
	};

	/** Adds to what the job uses of a unit that its type meters. */
	readonly use = (unit: string, count = 1): void => {
		if (!Number.isSafeInteger(count) || count < 0) {
			throw new RangeError(`units are counted in whole numbers, not ${count}`);
		}
		this.#units[unit] = (Object.hasOwn(this.#units, unit) ? (this.#units[unit] as number) : 0) + count;
	};

	/** @internal */
	get token(): string {
		return this.#token;
	}

	/** @internal What was used. */
	get units(): Record<string, number> {
		return { ...this.#units };
	}

	/** @internal Whether the lease has ended. */
	get lost(): boolean {
		return this.#lost;
	}

	/** @internal */
	get cancelRequested(): boolean {
		return this.#cancelRequested;
	}

	/** @internal Notes that a report is on its way: the lease is renewed until the server has taken it. */
	settle(): void {
		this.#settling = true;
	}

	/** @internal Ends the heartbeats: the server has taken the report. */
	end(): void {
		this.#ended = true;
		this.#stopTimer();
		this.#over.abort();
	}

	/** @internal Tells the handler that the job is given back. */
	drain(): void {
		this.#controller.abort(new Draining("the worker ends, and the job has been given back"));
	}

	/** @internal Sends the log lines that wait, before the report: no line comes after it. */
	async flush(): Promise<void> {
		for (let tries = 0; tries < 3 && !this.#ended && this.#beating; tries++) {
			await this.#beating;
		}
		while (this.#lines.length > 0 && !this.#ended) {
			const before = this.#lines.length;
			await this.#beat();
			if (this.#lines.length === before) {
				return; // the server is away: the result matters more
			}
		}
	}

	/** Heartbeats come at a third of the lease. */
	get #interval(): number {
		return Math.max(shortestBeat, this.#lease / 3);
	}

	/** Brings the next heartbeat forward: there is something to tell. */
	#hasten(): void {
		const soon = Math.max(this.#clock.now(), this.#lastBeat + Math.min(promptness, this.#interval));
		if (soon < this.#due) {
			this.#due = soon;
			this.#arm();
		}
	}

	#arm(): void {
		this.#stopTimer();
		if (this.#ended) {
			return;
		}
		this.#stopTimer = this.#clock.timer(Math.max(0, this.#due - this.#clock.now()), () => {
			if (!this.#beating) {
				void this.#beat();
			}
		});
	}

	/** Makes one heartbeat. */
	#beat(): Promise<void> {
		this.#stopTimer();
		this.#beating = this.#send().finally(() => {
			this.#beating = undefined;
			this.#arm();
		});
		return this.#beating;
	}

	async #send(): Promise<void> {
		const progress = this.#progress;
		const lines = this.#takeLines();
		this.#progress = undefined;
		this.#lastBeat = this.#clock.now();
		this.#due = this.#lastBeat + this.#interval;
		try {
			const answer = await this.#client.worker.heartbeat(
				this.job.id,
				{
					token: this.#token,
					...(progress === undefined ? {} : { progress }),
					...(lines.length === 0 ? {} : { logs: lines }),
				},
				// A beat that comes after the lease's end is none.
				{
					timeout: Math.max(this.#interval, promptness),
					deadline: Math.max(this.#lease, promptness),
					signal: this.#over.signal,
				},
			);
			if (answer.cancel_requested && !this.#cancelRequested) {
				this.#cancelRequested = true;
				this.#controller.abort(new CancelRequested("somebody cancelled the job"));
			}
			if (this.#lines.length > 0) {
				this.#hasten();
			}
		} catch (error) {
			if (this.#ended) {
				return;
			}
			if (error instanceof APIError && (error.code === "INVALID_REQUEST" || error.code === "JOB_NOT_FOUND")) {
				this.end();
				if (this.#settling) {
					return; // the report overtook the heartbeat, or it will be refused, too
				}
				this.#lost = true;
				this.#controller.abort(new LeaseLost(error.message, { cause: error }));
			} else {
				this.#progress ??= progress;
				this.#lines.unshift(...lines);
				this.#lastBeat = this.#clock.now();
				this.#due = this.#lastBeat + Math.max(this.#interval, promptness);
			}
			this.#tell(error);
		}
	}

	#takeLines(): string[] {
		const lines = this.#lines.splice(0, mostLines);
		if (this.#lines.length === 0 && this.#dropped > 0 && lines.length < mostLines) {
			lines.push(`… ${this.#dropped} lines were dropped: the log came faster than it could be sent`);
			this.#dropped = 0;
		}
		return lines;
	}
}

/** Cuts a line into pieces that the server takes. */
function cut(line: string): string[] {
	if (line.length * 3 <= mostLine) {
		return [line];
	}
	const pieces: string[] = [];
	let piece = "";
	let bytes = 0;
	const encoder = new TextEncoder();
	for (const character of line) {
		const size = encoder.encode(character).length;
		if (bytes + size > mostLine) {
			pieces.push(piece);
			piece = "";
			bytes = 0;
		}
		piece += character;
		bytes += size;
	}
	pieces.push(piece);
	return pieces;
}
