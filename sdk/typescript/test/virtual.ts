import type { Clock } from "tallygate";

/** A clock that only its test moves. */
export class VirtualClock implements Clock {
	#now = Date.UTC(2026, 0, 1);
	#timers: { at: number; callback: () => void }[] = [];
	readonly #random: number[];

	/** The values are those of random, in order; the last one stays. */
	constructor(random: readonly number[] = [0.5]) {
		this.#random = [...random];
	}

	now(): number {
		return this.#now;
	}

	random(): number {
		return (this.#random.length > 1 ? this.#random.shift() : this.#random[0]) as number;
	}

	timer(milliseconds: number, callback: () => void): () => void {
		const timer = { at: this.#now + milliseconds, callback };
		this.#timers.push(timer);
		return () => {
			this.#timers = this.#timers.filter((one) => one !== timer);
		};
	}

	/** Moves on to the next timer and rings it; false: there is none. */
	ring(): boolean {
		let next = this.#timers[0];
		for (const one of this.#timers) {
			if (next && one.at < next.at) {
				next = one;
			}
		}
		if (next === undefined) {
			return false;
		}
		this.#timers = this.#timers.filter((one) => one !== next);
		this.#now = Math.max(this.#now, next.at);
		next.callback();
		return true;
	}

	/** Lets the work go on until it is done, and moves the clock whenever nothing else happens. */
	async drive<T>(work: Promise<T>): Promise<T> {
		let done = false;
		const end = () => {
			done = true;
		};
		work.then(end, end);
		for (;;) {
			await idle();
			if (done) {
				return work;
			}
			if (!this.ring()) {
				throw new Error("the work waits for something that never comes");
			}
		}
	}
}

/** Returns once nothing happens any more by itself: every promise that could go on has. */
export async function idle(): Promise<void> {
	for (let turn = 0; turn < 4; turn++) {
		await new Promise((resolve) => setImmediate(resolve));
	}
}
