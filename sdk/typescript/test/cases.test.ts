// Replays sdk/cases: a scripted server, a clock that only the case moves, given randomness.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { inspect } from "node:util";
import type { FetchInit } from "tallygate";
import * as tallygate from "tallygate";
import { operations } from "./operations.js";
import { VirtualClock } from "./virtual.js";

interface Case {
	name: string;
	client?: { max_attempts?: number; timeout?: string; deadline?: string | null; retry_budget?: number };
	call?: CaseCall;
	calls?: CaseCall[];
	random?: number[];
	exchanges?: Exchange[];
	returns?: unknown;
	raises?: Raises;
	told?: number[];
	hides?: string[];
}

interface CaseCall {
	operation: string;
	arguments?: Record<string, unknown>;
	options?: { idempotency_key?: string; timeout?: string; deadline?: string | null; max_attempts?: number };
	cancel_after?: string;
	returns?: unknown;
	raises?: Raises;
	told?: number[];
}

interface Exchange {
	after?: string;
	request: {
		method?: string;
		target?: string;
		headers?: Record<string, string>;
		absent?: string[];
		body?: unknown;
	};
	answer: {
		status?: number;
		headers?: Record<string, string>;
		body?: unknown;
		text?: string;
		stream?: string;
		breaks?: boolean;
		fails?: "refused" | "reset" | "timeout" | "half" | "certificate";
	};
	takes?: string;
}

interface Raises {
	type: string;
	code?: string;
	message?: string;
	status?: number;
	request_id?: string;
	retry_after?: number | null;
	attempts?: number;
	job?: string;
}

const key = "tg_live_case";
const folder = new URL("../../cases/", import.meta.url);
const known = {
	case: ["name", "client", "call", "calls", "random", "exchanges", "returns", "raises", "told", "hides"],
	call: ["operation", "arguments", "options", "cancel_after", "returns", "raises", "told"],
	exchange: ["after", "request", "answer", "takes"],
	request: ["method", "target", "headers", "absent", "body"],
	answer: ["status", "headers", "body", "text", "stream", "breaks", "fails"],
	raises: ["type", "code", "message", "status", "request_id", "retry_after", "attempts", "job"],
};

for (const file of readdirSync(folder).filter((name) => name.endsWith(".json"))) {
	const cases = JSON.parse(readFileSync(new URL(file, folder), "utf8")) as Case[];
	for (const one of cases) {
		test(`${file}: ${one.name}`, async () => {
			let passed = false;
			try {
				await replay(one);
				passed = true;
			} finally {
				console.log(`case ${passed ? "PASS" : "FAIL"} typescript ${one.name}`);
			}
		});
	}
}

async function replay(one: Case): Promise<void> {
	checkMembers(one, known.case);
	const clock = new VirtualClock(one.random);
	const server = new ScriptedServer(clock, one.exchanges ?? []);
	const printed: unknown[] = [];
	const note = (...said: unknown[]) => void printed.push(...said);
	const client = new tallygate.Tallygate({
		url: "http://server.test",
		key,
		...camel(one.client ?? {}),
		clock,
		fetch: server.fetch,
		logger: { debug: note, warn: note },
		onRequest: note,
		onAnswer: note,
		onRetry: note,
	});
	printed.push(client, JSON.stringify(client), String(client));
	for (const call of one.calls ?? [{ ...(one.call as CaseCall), ...outcomeOf(one) }]) {
		checkMembers(call, known.call);
		const controller = new AbortController();
		if (call.cancel_after) {
			clock.timer(ms(call.cancel_after), () => controller.abort());
		}
		const operation = operations[call.operation];
		assert.ok(operation, `no operation ${call.operation}`);
		const told: number[] = [];
		const work = operation(client, call.arguments ?? {}, {
			signal: controller.signal,
			...camel(call.options ?? {}),
			...(call.arguments?.progress ? { onProgress: (progress: number) => void told.push(progress) } : {}),
		});
		let returned: unknown;
		let raised: unknown;
		try {
			returned = await (one.exchanges ? clock.drive(work) : work);
		} catch (error) {
			raised = error;
		}
		server.checkRequests();
		printed.push(returned, raised, (raised as Error | undefined)?.stack, JSON.stringify(raised));
		if (call.raises) {
			checkRaised(raised, call.raises);
		} else if (raised) {
			throw raised;
		} else {
			checkReturned(returned, call.returns);
		}
		if (call.told) {
			assert.deepEqual(told, call.told);
		}
	}
	server.checkEnd();
	const text = printed.map((said) => (typeof said === "string" ? said : inspect(said, { depth: 10 }))).join("\n");
	for (const secret of [key, ...(one.hides ?? [])]) {
		assert.ok(!text.includes(secret), `${secret} is printed`);
	}
}

function outcomeOf(one: Case): Pick<CaseCall, "returns" | "raises" | "told"> {
	return {
		...("returns" in one ? { returns: one.returns } : {}),
		...(one.raises ? { raises: one.raises } : {}),
		...(one.told ? { told: one.told } : {}),
	};
}

/** A server that plays what the case says, and checks what it is asked. */
class ScriptedServer {
	readonly #clock: VirtualClock;
	readonly #exchanges: Exchange[];
	#next = 0;
	/** When the exchange before was over. */
	#over: number;
	#before: Headers | undefined;
	/** What was wrong with a request: the client may take the failure for one of the network. */
	#faults: unknown[] = [];

	constructor(clock: VirtualClock, exchanges: Exchange[]) {
		this.#clock = clock;
		this.#exchanges = exchanges;
		this.#over = clock.now();
	}

	readonly fetch = async (url: string, init: FetchInit): Promise<Response> => {
		try {
			const exchange = this.#check(url, init);
			await this.#pass(exchange, init.signal);
			return answerOf(exchange.answer);
		} finally {
			this.#over = this.#clock.now();
		}
	};

	#check(url: string, init: FetchInit): Exchange {
		try {
			const exchange = this.#exchanges[this.#next++];
			assert.ok(exchange, `a request too many: ${init.method} ${url}`);
			checkMembers(exchange, known.exchange);
			const waited = this.#clock.now() - this.#over;
			assert.equal(Math.round(waited), Math.round(ms(exchange.after ?? "0s")), `waited before request ${this.#next}`);
			this.#checkRequest(url, init, exchange.request);
			return exchange;
		} catch (fault) {
			this.#faults.push(fault);
			throw fault;
		}
	}

	#checkRequest(url: string, init: FetchInit, request: Exchange["request"]): void {
		checkMembers(request, known.request);
		assert.equal(init.redirect, "manual");
		if (request.method) {
			assert.equal(init.method, request.method);
		}
		if (request.target !== undefined) {
			const want = new URL(request.target, "http://server.test");
			const got = new URL(url);
			assert.equal(got.origin + got.pathname, want.origin + want.pathname);
			assert.deepEqual([...got.searchParams].sort(), [...want.searchParams].sort());
		}
		const headers = new Headers(init.headers);
		for (const [name, value] of Object.entries(request.headers ?? {})) {
			const got = headers.get(name);
			assert.notEqual(got, null, `header ${name}`);
			if (value === "=") {
				assert.equal(got, this.#before?.get(name), `header ${name}`);
			} else if (value === "!") {
				assert.notEqual(got, this.#before?.get(name), `header ${name}`);
			} else if (value !== "*") {
				assert.equal(got, value, `header ${name}`);
			}
		}
		for (const name of request.absent ?? []) {
			assert.equal(headers.get(name), null, `header ${name}`);
		}
		if ("body" in request) {
			assert.deepEqual(JSON.parse(init.body as string), request.body);
		}
		this.#before = headers;
	}

	/** Lets the time of the exchange pass, unless the client gives up before. */
	#pass(exchange: Exchange, signal: AbortSignal): Promise<void> {
		const { fails } = exchange.answer;
		return new Promise((resolve, reject) => {
			if (fails === "timeout") {
				signal.addEventListener("abort", () => reject(signal.reason));
				return;
			}
			const stop = this.#clock.timer(ms(exchange.takes ?? "0s"), () => {
				if (fails === "refused") {
					reject(failed("connect ECONNREFUSED 127.0.0.1:80", "ECONNREFUSED"));
				} else if (fails === "reset") {
					reject(failed("read ECONNRESET", "ECONNRESET"));
				} else if (fails === "certificate") {
					reject(failed("self-signed certificate", "DEPTH_ZERO_SELF_SIGNED_CERT"));
				} else {
					resolve();
				}
			});
			signal.addEventListener("abort", () => {
				stop();
				reject(signal.reason);
			});
		});
	}

	checkRequests(): void {
		for (const fault of this.#faults) {
			throw fault;
		}
	}

	checkEnd(): void {
		assert.equal(this.#next, this.#exchanges.length, "requests made");
	}
}

/** Fails as Node's fetch does. */
function failed(message: string, code: string): TypeError {
	return new TypeError("fetch failed", { cause: Object.assign(new Error(message), { code }) });
}

function answerOf(answer: Exchange["answer"]): Response {
	checkMembers(answer, known.answer);
	if (answer.fails === "half") {
		return new Response(pieces('{"id": "job_01jz3v6r1m8k4t2q9', true), {
			headers: { "Content-Type": "application/json" },
		});
	}
	const headers = new Headers(answer.headers);
	let body: ReadableStream<Uint8Array> | null = null;
	const put = (type: string, text: string, breaks = false) => {
		if (!headers.has("Content-Type")) {
			headers.set("Content-Type", type);
		}
		body = pieces(text, breaks);
	};
	if (answer.stream !== undefined) {
		put("text/event-stream", answer.stream, answer.breaks);
	} else if (answer.text !== undefined) {
		put("text/html", answer.text);
	} else if ("body" in answer) {
		put("application/json", JSON.stringify(answer.body));
	}
	return new Response(body, { status: answer.status as number, headers });
}

/** A body that comes in small pieces, cut anywhere, and breaks off at its end or does not. */
function pieces(text: string, breaks: boolean): ReadableStream<Uint8Array> {
	const bytes = new TextEncoder().encode(text);
	let at = 0;
	return new ReadableStream({
		pull(controller) {
			if (at < bytes.length) {
				controller.enqueue(bytes.subarray(at, at + 7));
				at += 7;
			} else if (breaks) {
				controller.error(failed("other side closed", "UND_ERR_SOCKET"));
			} else {
				controller.close();
			}
		},
	});
}

function checkReturned(returned: unknown, want: unknown): void {
	if (want === null) {
		assert.ok(returned === null || returned === undefined, `returned ${inspect(returned)}`);
	} else {
		checkSubset(returned, want, "returned");
	}
}

/** Checks that everything that is wanted is there and equal. */
function checkSubset(got: unknown, want: unknown, at: string): void {
	if (Array.isArray(want)) {
		assert.ok(Array.isArray(got), at);
		assert.equal(got.length, want.length, `length of ${at}`);
		want.forEach((item, i) => {
			checkSubset(got[i], item, `${at}[${i}]`);
		});
	} else if (typeof want === "object" && want !== null) {
		assert.ok(typeof got === "object" && got !== null, at);
		for (const [name, value] of Object.entries(want)) {
			checkSubset((got as Record<string, unknown>)[name], value, `${at}.${name}`);
		}
	} else {
		assert.equal(got, want, at);
	}
}

const kinds: Record<string, (error: unknown) => boolean> = {
	connection: (error) => error instanceof tallygate.ConnectionError,
	timeout: (error) => error instanceof tallygate.TimeoutError,
	unexpected_answer: (error) => error instanceof tallygate.UnexpectedAnswerError,
	wait_timeout: (error) => error instanceof tallygate.WaitTimeoutError,
	job_cancelled: (error) => error instanceof tallygate.JobCancelledError,
	invalid_webhook: (error) => error instanceof tallygate.InvalidWebhookError,
	cancelled: (error) => error instanceof DOMException && error.name === "AbortError",
	unknown_code: (error) => error instanceof tallygate.APIError && error.constructor === tallygate.APIError,
};

function checkRaised(raised: unknown, want: Raises): void {
	checkMembers(want, known.raises);
	const said = inspect(raised);
	assert.ok(raised instanceof Error, `raised ${said}`);
	const kind = kinds[want.type];
	if (kind) {
		assert.ok(kind(raised), `want ${want.type}, raised ${said}`);
	} else {
		const type = (tallygate as unknown as Record<string, new () => Error>)[className(want.type)];
		assert.ok(type, `no class for ${want.type}`);
		assert.ok(raised instanceof type, `want ${want.type}, raised ${said}`);
		assert.equal((raised as tallygate.APIError).code, want.type);
	}
	if (want.type !== "cancelled") {
		assert.ok(raised instanceof tallygate.TallygateError, said);
	}
	const error = raised as tallygate.APIError & { job?: { id: string } };
	if (want.code !== undefined) {
		assert.equal(error.code, want.code);
	}
	if (want.message !== undefined) {
		assert.ok(error.message.includes(want.message), said);
	}
	if (want.status !== undefined) {
		assert.equal(error.status, want.status);
	}
	if (want.request_id !== undefined) {
		assert.equal(error.requestId, want.request_id);
	}
	if (want.retry_after !== undefined) {
		assert.equal(error.retryAfter ?? null, want.retry_after);
	}
	if (want.attempts !== undefined) {
		assert.equal(error.attempts, want.attempts);
	}
	if (want.job !== undefined) {
		assert.equal(error.job?.id, want.job);
	}
}

/** The name of a code's class: RATE_LIMIT_EXCEEDED has RateLimitExceededError. */
function className(code: string): string {
	const words = code
		.replace(/_ERROR$/, "")
		.toLowerCase()
		.split("_");
	return `${words.map((word) => word[0]?.toUpperCase() + word.slice(1)).join("")}Error`;
}

/** A member that this does not know would be a check that is not made. */
function checkMembers(object: object, names: string[]): void {
	for (const name of Object.keys(object)) {
		assert.ok(names.includes(name), `this replayer does not know the member ${name}`);
	}
}

function camel(options: object): Record<string, unknown> {
	return Object.fromEntries(
		Object.entries(options).map(([name, value]) => [name.replace(/_(.)/g, (_, c: string) => c.toUpperCase()), value]),
	);
}

const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

function ms(duration: string): number {
	const found = /^([0-9.]+)(ms|s|m|h)$/.exec(duration);
	assert.ok(found, `duration ${duration}`);
	return Number(found[1]) * (units[found[2] as string] as number);
}
