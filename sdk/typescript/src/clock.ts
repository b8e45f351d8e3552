/** Time and chance. The client's own is the machine's; tests give one that they move. */
export interface Clock {
	/** Milliseconds since 1970. It never goes back. */
	now(): number;
	/** Uniform from 0 up to, and without, 1. */
	random(): number;
	/** Calls back once the milliseconds have passed, unless the returned function was called before. */
	timer(milliseconds: number, callback: () => void): () => void;
}

/** What setTimeout takes at most. */
const longestTimer = 2 ** 31 - 1;

/** The machine's clock: `performance.now()`, which neither the user nor a time server sets back. */
export const systemClock: Clock = {
	now: () => performance.timeOrigin + performance.now(),
	random: Math.random,
	timer(milliseconds, callback) {
		const timer = setTimeout(callback, Math.min(milliseconds, longestTimer));
		return () => clearTimeout(timer);
	},
};

/** Waits; an abort of the signal ends the wait at once with its reason. */
export function sleep(clock: Clock, milliseconds: number, signal?: AbortSignal): Promise<void> {
	return new Promise((resolve, reject) => {
		if (signal?.aborted) {
			reject(signal.reason);
			return;
		}
		const stop = clock.timer(milliseconds, () => {
			signal?.removeEventListener("abort", aborted);
			resolve();
		});
		const aborted = () => {
			stop();
			reject(signal?.reason);
		};
		signal?.addEventListener("abort", aborted, { once: true });
	});
}
