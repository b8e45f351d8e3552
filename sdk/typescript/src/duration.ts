/** A span of time: milliseconds as a number, or Go's notation as the API writes it: `"30s"`, `"1.5h"`, `"2m30s"`. */
export type Duration = number | string;

const units: Record<string, number> = {
	ns: 1e-6,
	us: 1e-3,
	µs: 1e-3,
	μs: 1e-3,
	ms: 1,
	s: 1000,
	m: 60_000,
	h: 3_600_000,
};

const part = /([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)/y;

/** Returns the milliseconds of a duration; throws a RangeError for what is none, or is negative. */
export function milliseconds(duration: Duration): number {
	if (typeof duration === "number") {
		if (duration >= 0) {
			return duration;
		}
	} else if (duration === "0") {
		return 0;
	} else if (duration !== "") {
		let sum = 0;
		part.lastIndex = 0;
		while (part.lastIndex < duration.length) {
			const found = part.exec(duration);
			if (!found) {
				sum = Number.NaN;
				break;
			}
			sum += Number(found[1]) * (units[found[2] as string] as number);
		}
		if (!Number.isNaN(sum)) {
			return sum;
		}
	}
	throw new RangeError(
		`a duration is milliseconds or a text such as "30s" or "2m30s", not ${JSON.stringify(duration)}`,
	);
}

/** Writes a duration in Go's notation, as the API takes it. */
export function notation(duration: Duration): string {
	if (typeof duration === "string") {
		return duration;
	}
	const ms = milliseconds(duration);
	return ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`;
}
