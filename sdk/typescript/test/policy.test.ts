import assert from "node:assert/strict";
import { test } from "node:test";
import { milliseconds, notation } from "../dist/duration.js";
import { backoff, httpDate, RetryBudget, retryAfter } from "../dist/policy.js";
import { EventParser } from "../dist/sse.js";

const now = Date.UTC(2026, 0, 1);

test("durations are read as Go writes them", () => {
	const good: [number | string, number][] = [
		["30s", 30_000],
		["1.5h", 5_400_000],
		["2m30s", 150_000],
		["1h2m3.5s", 3_723_500],
		["250ms", 250],
		["500us", 0.5],
		[".5s", 500],
		["0", 0],
		[1234, 1234],
		[Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY],
	];
	for (const [text, ms] of good) {
		assert.ok(Math.abs(milliseconds(text) - ms) < 1e-9 || milliseconds(text) === ms, String(text));
	}
	for (const bad of ["", "30", "s", "-1s", "1 s", "1d", "1s ", "1.2.3s", -1, Number.NaN]) {
		assert.throws(() => milliseconds(bad), RangeError, String(bad));
	}
	assert.equal(notation(30_000), "30s");
	assert.equal(notation(1500), "1500ms");
	assert.equal(notation("1h30m"), "1h30m");
});

test("dates of all three forms of HTTP are read", () => {
	const at = Date.UTC(1994, 10, 6, 8, 49, 37);
	assert.equal(httpDate("Sun, 06 Nov 1994 08:49:37 GMT", now), at);
	assert.equal(httpDate("Sunday, 06-Nov-94 08:49:37 GMT", now), at);
	assert.equal(httpDate("Sun Nov  6 08:49:37 1994", now), at);
	assert.equal(httpDate("Thursday, 01-Jan-76 00:00:00 GMT", now), Date.UTC(2076, 0, 1));
	assert.equal(httpDate("Friday, 01-Jan-77 00:00:00 GMT", now), Date.UTC(1977, 0, 1));
	for (const bad of ["", "soon", "2026-01-01T00:00:00Z", "Sun, 06 Nov 1994 08:49:37", "Sun, 6 Nov 1994 08:49:37 GMT"]) {
		assert.equal(httpDate(bad, now), undefined, bad);
	}
});

test("Retry-After is seconds, or a date that the answer's own date judges", () => {
	assert.equal(retryAfter("120", null, now), 120);
	assert.equal(retryAfter(" 0 ", null, now), 0);
	assert.equal(retryAfter("Thu, 01 Jan 2026 00:00:30 GMT", null, now), 30);
	assert.equal(retryAfter("Thu, 01 Jan 2026 00:00:30 GMT", "Thu, 01 Jan 2026 00:00:20 GMT", now), 10);
	for (const none of [null, "", "soon", "-1", "1.5", "Wed, 31 Dec 2025 23:59:59 GMT"]) {
		assert.equal(retryAfter(none, null, now), undefined, String(none));
	}
});

test("callers that are refused together come back spread over a second, above their floor", () => {
	const waits = Array.from({ length: 1000 }, (_, n) => backoff(1, 1, n / 1000));
	assert.equal(Math.min(...waits), 1000);
	assert.ok(Math.max(...waits) < 2000 && Math.max(...waits) > 1990);
	assert.equal(backoff(1, 0, 0.5), 125);
	assert.equal(backoff(6, 0, 1), 8000);
	assert.equal(backoff(60, 0, 1), 8000);
	assert.equal(backoff(1, 60, 0.5), 64_000);
});

test("a budget of retries runs out, and comes back with success", () => {
	const budget = new RetryBudget(12);
	assert.deepEqual([budget.take(false), budget.take(false), budget.take(false)], [5, 5, 0]);
	budget.give(0);
	assert.equal(budget.take(false), 0);
	budget.give(0);
	budget.give(0);
	assert.equal(budget.take(false), 5);
	budget.give(5);
	budget.give(5);
	assert.equal(budget.take(true), 10);
	assert.equal(budget.take(true), 0);
});

test("a stream of events says the same however it is cut", () => {
	const text =
		"\uFEFFid: 1\r\nevent: state\rdata: a\ndata:  b\r\n\r\n: note\n\nid: 2\n\ndata: ü🎉\r\rid\ndata\n\nid: 9\ndata: lost";
	const want = [
		{ id: "1", name: "state", data: "a\n b" },
		{ id: "2", name: "message", data: "ü🎉" },
		{ id: "", name: "message", data: "" },
	];
	const bytes = new TextEncoder().encode(text);
	for (let size = 1; size <= bytes.length; size++) {
		const parser = new EventParser("");
		const events = [];
		for (let at = 0; at < bytes.length; at += size) {
			events.push(...parser.push(bytes.subarray(at, at + size)));
		}
		assert.deepEqual(events, want, `pieces of ${size}`);
	}
});
