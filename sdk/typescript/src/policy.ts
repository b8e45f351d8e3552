/** The least and the most wait before another attempt, and the width of its jitter, in milliseconds. */
const firstBackoff = 250;
const mostBackoff = 8000;

/**
 * Returns how long to wait after the n-th failed attempt (n from 1), in milliseconds: full jitter (Brooker,
 * "Exponential Backoff And Jitter", 2015) above the seconds that the server asked for, and as wide as those, so that
 * callers who were refused together do not return together.
 */
export function backoff(n: number, retryAfter: number, random: number): number {
	const b = Math.min(mostBackoff, firstBackoff * 2 ** (n - 1));
	const floor = retryAfter * 1000;
	return floor + random * Math.max(b, Math.min(floor, mostBackoff));
}

/** What another attempt costs of the budget, and what a call gives back that succeeds at once. */
const retryCost = 5;
const timeoutCost = 10;
const successGain = 1;

/** The token bucket that all calls of a client share, as in the standard mode of AWS's SDKs: retries stop a storm. */
export class RetryBudget {
	readonly #most: number;
	#tokens: number;

	constructor(most: number) {
		this.#most = most;
		this.#tokens = most;
	}

	/** Takes what another attempt costs and returns it, or 0 where too little is left. */
	take(timedOut: boolean): number {
		const cost = timedOut ? timeoutCost : retryCost;
		if (this.#tokens < cost) {
			return 0;
		}
		this.#tokens -= cost;
		return cost;
	}

	/** Gives back what the last retry of a call that succeeded cost; 0: it had none. */
	give(cost: number): void {
		this.#tokens = Math.min(this.#most, this.#tokens + (cost || successGain));
	}
}

/**
 * Returns the seconds that Retry-After asks to wait, judged by the answer's Date or else by now; undefined where it is
 * not there, unreadable or past.
 */
export function retryAfter(value: string | null, date: string | null, now: number): number | undefined {
	const text = value?.trim();
	if (!text) {
		return undefined;
	}
	if (/^[0-9]+$/.test(text)) {
		return Number(text);
	}
	const until = httpDate(text, now);
	if (until === undefined) {
		return undefined;
	}
	const from = (date === null ? undefined : httpDate(date.trim(), now)) ?? now;
	return until > from ? (until - from) / 1000 : undefined;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const day = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
const longDay = "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)";
const month = `(?<month>${months.join("|")})`;
const time = "(?<hour>[0-9]{2}):(?<minute>[0-9]{2}):(?<second>[0-9]{2})";
const dateForms = [
	new RegExp(`^${day}, (?<day>[0-9]{2}) ${month} (?<year>[0-9]{4}) ${time} GMT$`),
	new RegExp(`^${longDay}, (?<day>[0-9]{2})-${month}-(?<year>[0-9]{2}) ${time} GMT$`),
	new RegExp(`^${day} ${month} (?<day>[ 0-9][0-9]) ${time} (?<year>[0-9]{4})$`),
];

/** Reads a date in one of the three forms of RFC 9110, section 5.6.7, as milliseconds since 1970. */
export function httpDate(text: string, now: number): number | undefined {
	for (const form of dateForms) {
		const found = form.exec(text)?.groups;
		if (!found) {
			continue;
		}
		let year = Number(found.year);
		if (found.year?.length === 2) {
			// A year that seems to be more than 50 years off is the last one with these digits.
			const thisYear = new Date(now).getUTCFullYear();
			year += thisYear - (thisYear % 100);
			if (year > thisYear + 50) {
				year -= 100;
			}
		}
		const month = months.indexOf(found.month as string);
		return Date.UTC(year, month, Number(found.day), Number(found.hour), Number(found.minute), Number(found.second));
	}
	return undefined;
}
