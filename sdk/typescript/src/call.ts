import { type Clock, sleep, systemClock } from "./clock.js";
import { type Duration, milliseconds } from "./duration.js";
import {
	CallError,
	type CallFailure,
	ConnectionError,
	errorOf,
	retries,
	TallygateError,
	TimeoutError,
	UnexpectedAnswerError,
} from "./errors.js";
import { backoff, RetryBudget, retryAfter } from "./policy.js";
import { EventParser } from "./sse.js";
import { VERSION } from "./version.js";

/** What the client hands to `fetch`. */
export interface FetchInit {
	method: string;
	headers: Record<string, string>;
	body?: string;
	signal: AbortSignal;
	redirect: "manual";
	/** In browsers alone: no cookies. */
	credentials?: "omit";
}

/** What the client needs of an answer. */
export interface FetchAnswer {
	readonly status: number;
	readonly headers: { get(name: string): string | null; forEach(each: (value: string, name: string) => void): void };
	readonly body: ReadableStream<Uint8Array> | null;
	text(): Promise<string>;
}

/** Makes one request, as the platform's `fetch` does. */
export type Fetch = (url: string, init: FetchInit) => Promise<FetchAnswer>;

/** A request that goes out. */
export interface RequestNote {
	/** The name of the operation in the API's description. */
	operation: string;
	method: string;
	url: string;
	/** From 1. */
	attempt: number;
}

/** An answer that came, whatever it says. */
export interface AnswerNote extends RequestNote {
	status: number;
	requestId: string | undefined;
	/** Milliseconds from the request to the answer's headers. */
	took: number;
}

/** A failed attempt that another will follow. */
export interface RetryNote extends RequestNote {
	error: CallError;
	/** Milliseconds until then. */
	wait: number;
}

/** Hears of each request, answer and retry. None of it holds a secret. */
export interface Hooks {
	onRequest?(note: RequestNote): void;
	onAnswer?(note: AnswerNote): void;
	onRetry?(note: RetryNote): void;
}

/** Is told of requests and answers (debug) and retries (warn). `console` is one. */
export interface Logger {
	debug(message: string): void;
	warn(message: string): void;
}

export interface ClientOptions extends Hooks {
	/** The server, by default `TALLYGATE_URL` of the environment, else `http://127.0.0.1:8080`. */
	url?: string;
	/** The API key, by default `TALLYGATE_KEY` of the environment. */
	key?: string;
	/** Attempts of one call, the first included; by default 5. */
	maxAttempts?: number;
	/** Most time of one attempt, beside what the call asks the server to wait; by default 30 s. */
	timeout?: Duration;
	/** Most time of one call with all its attempts, beside what it asks the server to wait; null: no bound; by default 2 min. */
	deadline?: Duration | null;
	/** Tokens for retries that all calls of this client share; by default 500, and a retry costs 5, or 10 after a time-out. */
	retryBudget?: number;
	/** Makes the requests in place of the platform's `fetch`: for proxies, certificates, tests. */
	fetch?: Fetch;
	logger?: Logger;
	/** For tests. */
	clock?: Clock;
}

/** What a single call may have of its own. */
export interface CallOptions {
	/** Ends the call, wherever it is; it then throws the signal's reason. */
	signal?: AbortSignal | undefined;
	maxAttempts?: number | undefined;
	timeout?: Duration | undefined;
	deadline?: Duration | null | undefined;
}

/** What a call that has an effect may have of its own. */
export interface EffectOptions extends CallOptions {
	/** Names the effect, so that it is had once, however often it is asked for; by default a random one for each call. */
	idempotencyKey?: string | undefined;
}

/** A call of one operation. */
export interface Call {
	operation: string;
	method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
	path: string;
	query?: Record<string, string | number | undefined>;
	body?: unknown;
	/** Whether the route heeds Idempotency-Key. */
	effect?: boolean;
	/** What the call asks the server to wait. */
	wait?: Duration | undefined;
	/** Whether the answer may be any JSON value, not an object alone. */
	any?: boolean;
}

/** An answer 200. */
export interface Answer<Value> {
	value: Value;
	attempts: number;
	headers: Readonly<Record<string, string>>;
}

/** What one event of a stream says. */
export interface StreamEvent {
	/** Where to resume after it. */
	id: string;
	value: object;
}

const defaults = { url: "http://127.0.0.1:8080", maxAttempts: 5, timeout: "30s", deadline: "2m", retryBudget: 500 };

/** Makes calls by the policy: what is tried again, how long it waits, when it gives up. */
export class Caller {
	readonly clock: Clock;
	readonly #url: string;
	readonly #key: string;
	readonly #fetch: Fetch;
	readonly #hooks: Hooks;
	readonly #logger: Logger | undefined;
	readonly #maxAttempts: number;
	readonly #timeout: number;
	readonly #deadline: number;
	readonly #budget: RetryBudget;

	constructor(options: ClientOptions) {
		this.#url = baseURL(options.url ?? environment("TALLYGATE_URL") ?? defaults.url);
		this.#key = options.key ?? environment("TALLYGATE_KEY") ?? "";
		if (!/^[!-~]*$/.test(this.#key)) {
			throw new TallygateError("the key holds characters that no API key has: look for spaces and line breaks");
		}
		this.#fetch = options.fetch ?? ((url, init) => globalThis.fetch(url, init));
		this.#hooks = options;
		this.#logger = options.logger;
		this.#maxAttempts = options.maxAttempts ?? defaults.maxAttempts;
		this.#timeout = milliseconds(options.timeout ?? defaults.timeout);
		this.#deadline = bound(options.deadline, milliseconds(defaults.deadline));
		this.#budget = new RetryBudget(options.retryBudget ?? defaults.retryBudget);
		this.clock = options.clock ?? systemClock;
	}

	/** The server's address. */
	get url(): string {
		return this.#url;
	}

	/** The most time of one call, in milliseconds, beside what it asks the server to wait. */
	get deadline(): number {
		return this.#deadline;
	}

	/** Writes to the client's log. */
	warn(message: string): void {
		this.#logger?.warn(message);
	}

	/** Makes the call and returns the JSON value of its answer. */
	async call<Value>(call: Call, options: EffectOptions = {}): Promise<Answer<Value>> {
		const tries = this.#tries(call, options);
		const headers = this.#headers(call, options, "application/json");
		for (;;) {
			const attempt = tries.begin();
			let outcome: Answer<Value> | CallError;
			try {
				outcome = await attempt.answer(headers, call.any === true);
			} finally {
				attempt.end();
			}
			if (!(outcome instanceof CallError)) {
				tries.succeeded();
				return outcome;
			}
			await tries.again(outcome);
		}
	}

	/**
	 * Opens a stream of events and goes over what they say, JSON objects, for as long as the reader wants more: a stream
	 * that ends or breaks off is opened again after its last event. Attempts count from the last event that came, the
	 * deadline from the last sign of life. An event whose data is no JSON object is passed over.
	 */
	async *stream(call: Call, options: CallOptions, lastEventId: string): AsyncGenerator<StreamEvent, void, undefined> {
		const tries = this.#tries(call, options);
		const headers = this.#headers(call, options, "text/event-stream");
		let last = lastEventId;
		for (;;) {
			if (last !== "") {
				headers["Last-Event-ID"] = last;
			}
			const attempt = tries.begin();
			let failed: CallError | undefined;
			try {
				const parser = new EventParser(last);
				for await (const piece of attempt.pieces(headers)) {
					if (piece instanceof CallError) {
						failed = piece;
						break;
					}
					tries.extend();
					for (const { id, data } of parser.push(piece)) {
						last = id;
						const value = parsed(data);
						if (isObject(value)) {
							tries.progressed();
							yield { id, value };
							options.signal?.throwIfAborted();
						}
					}
				}
			} finally {
				attempt.end();
			}
			if (!failed && attempt.over) {
				tries.succeeded();
				return;
			}
			await tries.again(
				failed ?? attempt.failed(ConnectionError, { message: "the stream of events ended before the job did" }),
			);
		}
	}

	#tries(call: Call, options: CallOptions): Tries {
		const wait = call.wait === undefined ? 0 : milliseconds(call.wait);
		return new Tries(this.clock, this.#budget, {
			maxAttempts: options.maxAttempts ?? this.#maxAttempts,
			timeout: (options.timeout === undefined ? this.#timeout : milliseconds(options.timeout)) + wait,
			deadline: bound(options.deadline, this.#deadline) + wait,
			signal: options.signal,
			call,
			url: this.#url + call.path + queryOf(call.query),
			body: call.body === undefined ? undefined : JSON.stringify(call.body),
			fetch: this.#fetch,
			hooks: this.#hooks,
			logger: this.#logger,
			clean: (text) => (this.#key === "" ? text : text.replaceAll(this.#key, "tg_live_…")),
		});
	}

	#headers(call: Call, options: EffectOptions, accept: string): Record<string, string> {
		const headers: Record<string, string> = { Accept: accept };
		if (this.#key !== "") {
			headers.Authorization = `Bearer ${this.#key}`;
		}
		if (call.body !== undefined) {
			headers["Content-Type"] = "application/json";
		}
		if (call.effect) {
			headers["Idempotency-Key"] = checkedKey(options.idempotencyKey) ?? randomKey();
		}
		if (!isBrowser) {
			headers["User-Agent"] = `tallygate-typescript/${VERSION}`;
		}
		return headers;
	}
}

/** What the attempts of one call share. */
interface Plan {
	maxAttempts: number;
	timeout: number;
	deadline: number;
	signal: AbortSignal | undefined;
	call: Call;
	url: string;
	body: string | undefined;
	fetch: Fetch;
	hooks: Hooks;
	logger: Logger | undefined;
	/** Takes the key out of a text that came from elsewhere. */
	clean(text: string): string;
}

/** The attempts of one call: how many were made, and whether there may be another. */
class Tries {
	readonly #clock: Clock;
	readonly #budget: RetryBudget;
	readonly #plan: Plan;
	#made = 0;
	#end: number;
	#cost = 0;

	constructor(clock: Clock, budget: RetryBudget, plan: Plan) {
		this.#clock = clock;
		this.#budget = budget;
		this.#plan = plan;
		this.#end = clock.now() + plan.deadline;
	}

	/** Begins the next attempt. */
	begin(): Attempt {
		this.#plan.signal?.throwIfAborted();
		this.#made++;
		return new Attempt(this.#clock, this.#plan, this.#made, this.#end);
	}

	/** Waits until another attempt may begin, or throws the failure. */
	async again(error: CallError): Promise<void> {
		const { maxAttempts, signal, hooks, logger, call, url } = this.#plan;
		if (!error.retryable || this.#made >= maxAttempts) {
			throw error;
		}
		const wait = backoff(this.#made, error.retryAfter ?? 0, this.#clock.random());
		if (this.#clock.now() + wait >= this.#end) {
			throw error;
		}
		const cost = this.#budget.take(error instanceof TimeoutError);
		if (cost === 0) {
			throw error;
		}
		this.#cost = cost;
		hooks.onRetry?.({ operation: call.operation, method: call.method, url, attempt: this.#made, error, wait });
		logger?.warn(
			`tallygate: ${call.method} ${url}: attempt ${this.#made} failed, next in ${Math.round(wait)} ms: ${error.message}`,
		);
		await sleep(this.#clock, wait, signal);
	}

	/** Notes that the call has succeeded. */
	succeeded(): void {
		this.#budget.give(this.#cost);
		this.#cost = 0;
	}

	/** Notes a sign of life of a stream: its deadline is a bound on failing, not on how long it lasts. */
	extend(): void {
		this.#end = this.#clock.now() + this.#plan.deadline;
	}

	/** Notes an event of a stream: attempts count from here. */
	progressed(): void {
		if (this.#cost > 0 || this.#made > 1) {
			this.succeeded();
		}
		this.#made = 1;
	}
}

/** One request. Its bound, and its caller's signal, end it wherever it is. */
class Attempt {
	readonly #clock: Clock;
	readonly #plan: Plan;
	readonly #n: number;
	readonly #controller = new AbortController();
	readonly #interrupted: Promise<never>;
	#interrupt: (reason: unknown) => void = () => {};
	#stop: () => void = () => {};
	#timedOut = false;
	#answer: FetchAnswer | undefined;

	constructor(clock: Clock, plan: Plan, n: number, end: number) {
		this.#clock = clock;
		this.#plan = plan;
		this.#n = n;
		this.#interrupted = new Promise((_, reject) => {
			this.#interrupt = (reason) => {
				reject(reason);
				this.#controller.abort(reason);
			};
		});
		this.#interrupted.catch(() => {});
		plan.signal?.addEventListener("abort", this.#cancelled);
		this.#arm(Math.min(plan.timeout, end - clock.now()));
	}

	readonly #cancelled = () => this.#interrupt(this.#plan.signal?.reason);

	/** Sets the bound anew. */
	#arm(milliseconds: number): void {
		this.#stop();
		if (milliseconds === Number.POSITIVE_INFINITY) {
			return;
		}
		this.#stop = this.#clock.timer(milliseconds, () => {
			this.#timedOut = true;
			this.#interrupt(new Error("timed out"));
		});
	}

	/** Lets go of everything that the attempt holds. */
	end(): void {
		this.#stop();
		this.#plan.signal?.removeEventListener("abort", this.#cancelled);
		this.#controller.abort();
	}

	/** Makes the request and reads the answer. */
	async answer<Value>(headers: Record<string, string>, any: boolean): Promise<Answer<Value> | CallError> {
		let text: string;
		try {
			const answer = await this.#send(headers);
			text = await this.#race(() => answer.text());
		} catch (error) {
			return this.#broken(error);
		}
		const refused = this.#refused(text);
		if (refused) {
			return refused;
		}
		const value = parsed(text);
		if (value === undefined) {
			return this.#unexpected(text, "is not the JSON of a Tallygate server");
		}
		if (!any && !isObject(value)) {
			return this.#unexpected(text, "is not the object that a Tallygate server answers");
		}
		return { value: value as Value, attempts: this.#n, headers: headersOf(this.#answer as FetchAnswer) };
	}

	/** Whether the answer says that nothing is to come. */
	get over(): boolean {
		return this.#answer?.status === 204;
	}

	/** Makes the request and yields the pieces of the answer as they come; the last is an error unless it ended by itself. */
	async *pieces(headers: Record<string, string>): AsyncGenerator<Uint8Array | CallError, void, undefined> {
		let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
		try {
			const answer = await this.#send(headers);
			if (this.over) {
				return;
			}
			const type = answer.headers.get("content-type") ?? "";
			if (answer.status !== 200 || !/^text\/event-stream *(;|$)/i.test(type) || !answer.body) {
				const text = await this.#race(() => answer.text());
				yield this.#refused(text) ?? this.#unexpected(text, "is not a stream of events");
				return;
			}
			reader = answer.body.getReader();
			const signal = this.#controller.signal;
			signal.addEventListener("abort", () => void reader?.cancel().catch(() => {}));
			for (;;) {
				this.#arm(this.#plan.timeout);
				const { done, value } = await reader.read().catch(breaks);
				this.#stop();
				if (signal.aborted) {
					throw new Break(signal.reason);
				}
				if (done) {
					return;
				}
				yield value;
			}
		} catch (error) {
			yield this.#broken(error);
		}
	}

	/** Sends the request; once this returns, the answer's headers are there. */
	async #send(headers: Record<string, string>): Promise<FetchAnswer> {
		const { call, url, body, fetch, hooks, logger } = this.#plan;
		const note = { operation: call.operation, method: call.method, url, attempt: this.#n };
		hooks.onRequest?.(note);
		logger?.debug(`tallygate: ${call.method} ${url} (attempt ${this.#n})`);
		const begun = this.#clock.now();
		const answer = await this.#race(() =>
			fetch(url, {
				method: call.method,
				headers,
				...(body === undefined ? {} : { body }),
				signal: this.#controller.signal,
				redirect: "manual",
				...(isBrowser ? { credentials: "omit" } : {}),
			}),
		);
		this.#answer = answer;
		const requestId = answer.headers.get("x-request-id") ?? undefined;
		const took = this.#clock.now() - begun;
		hooks.onAnswer?.({ ...note, status: answer.status, requestId, took });
		logger?.debug(
			`tallygate: ${call.method} ${url}: ${answer.status} in ${Math.round(took)} ms (request ${requestId ?? "?"})`,
		);
		return answer;
	}

	/** Waits for the work, but no longer than the attempt may last: also where a fetch does not heed its signal. */
	async #race<T>(work: () => Promise<T>): Promise<T> {
		try {
			return await Promise.race([work(), this.#interrupted]);
		} catch (cause) {
			return breaks(cause);
		}
	}

	/**
	 * Makes the failure of an attempt that got no whole answer. A caller that has cancelled gets its own reason, and what a
	 * hook has thrown goes on.
	 */
	#broken(error: unknown): CallError {
		this.#plan.signal?.throwIfAborted();
		if (!(error instanceof Break)) {
			throw error;
		}
		const { cause } = error;
		const server = new URL(this.#plan.url).origin;
		if (this.#timedOut || timeoutCodes.has(codeOf(cause))) {
			const begun = this.#answer ? "broke off" : "did not come";
			return this.failed(TimeoutError, { message: `the answer of ${server} ${begun} within the time of one attempt` });
		}
		const message = this.#answer
			? `the answer of ${server} broke off: ${reasonOf(cause)}`
			: `cannot reach ${server}: ${reasonOf(cause)}`;
		return this.failed(ConnectionError, { message, cause }, !isCertificate(cause));
	}

	/** Makes the failure of an answer that is not 200, none for one that is. */
	#refused(text: string): CallError | undefined {
		const answer = this.#answer as FetchAnswer;
		if (answer.status === 200) {
			return undefined;
		}
		const envelope = envelopeOf(text);
		if (!envelope) {
			return this.#unexpected(text, "is not a Tallygate server's");
		}
		const { clean } = this.#plan;
		return errorOf(clean(envelope.code), {
			...this.#facts(text),
			message: clean(envelope.message),
			retryable: this.#should() ?? retries(envelope.code) ?? retriedStatuses.has(answer.status),
		});
	}

	#unexpected(text: string, what: string): CallError {
		const { status } = this.#answer as FetchAnswer;
		const start = this.#plan.clean(text).slice(0, 1000).replace(/\s+/g, " ").trim();
		const quoted = start === "" ? "it is empty" : `it begins with ${JSON.stringify(start.slice(0, 200))}`;
		return new UnexpectedAnswerError({
			...this.#facts(text),
			message: `${status}: the answer ${what}: ${quoted}`,
			retryable: this.#should() ?? (status === 200 || retriedStatuses.has(status)),
		});
	}

	/** Makes a failure, with what is known of the answer so far. */
	failed(type: typeof CallError, failure: CallFailure, retryable = true): CallError {
		const facts = this.#answer ? this.#facts("") : { attempts: this.#n };
		return new type({ ...facts, ...failure, retryable: this.#should() ?? retryable });
	}

	/** What X-Should-Retry says. */
	#should(): boolean | undefined {
		const says = this.#answer?.headers.get("x-should-retry");
		return says === "true" ? true : says === "false" ? false : undefined;
	}

	#facts(body: string) {
		const { status, headers } = this.#answer as FetchAnswer;
		const requestId = headers.get("x-request-id");
		const after = retryAfter(headers.get("retry-after"), headers.get("date"), this.#clock.now());
		return {
			attempts: this.#n,
			status,
			headers: headersOf(this.#answer as FetchAnswer),
			body,
			...(requestId === null ? {} : { requestId }),
			...(after === undefined ? {} : { retryAfter: after }),
		};
	}
}

/** What ended an attempt before its answer was whole. */
class Break {
	constructor(readonly cause: unknown) {}
}

function breaks(cause: unknown): never {
	throw new Break(cause);
}

/** Statuses after which a call is tried again where no code tells. */
const retriedStatuses = new Set([408, 429, 500, 502, 503, 504]);

/** Codes of errors with which Node's fetch tells of time-outs of its own. */
const timeoutCodes = new Set([
	"UND_ERR_CONNECT_TIMEOUT",
	"UND_ERR_HEADERS_TIMEOUT",
	"UND_ERR_BODY_TIMEOUT",
	"ETIMEDOUT",
]);

/** Reads a JSON text, undefined where it is none. */
function parsed(text: string): unknown {
	try {
		return JSON.parse(text);
	} catch {
		return undefined;
	}
}

function isObject(value: unknown): value is object {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Reads the contract's error body, undefined where it is something else. */
function envelopeOf(text: string): { code: string; message: string } | undefined {
	const error = (parsed(text) as { error?: { code?: unknown; message?: unknown } } | null | undefined)?.error;
	if (typeof error?.code !== "string" || error.code === "") {
		return undefined;
	}
	return { code: error.code, message: typeof error.message === "string" ? error.message : error.code };
}

function headersOf(answer: FetchAnswer): Record<string, string> {
	const headers: Record<string, string> = {};
	answer.headers.forEach((value, name) => {
		headers[name.toLowerCase()] = value;
	});
	return headers;
}

/** Goes from an error to what caused it: a fetch says "fetch failed" and hides the reason below. */
function* causes(error: unknown): Generator<{ code?: unknown; message?: unknown }> {
	for (let e = error, depth = 0; e !== null && typeof e === "object" && depth < 5; depth++) {
		yield e;
		e = (e as { cause?: unknown }).cause;
	}
}

function codeOf(error: unknown): string {
	for (const { code } of causes(error)) {
		if (typeof code === "string") {
			return code;
		}
	}
	return "";
}

function reasonOf(error: unknown): string {
	let reason = String(error);
	for (const { message } of causes(error)) {
		if (typeof message === "string" && message !== "") {
			reason = message;
		}
	}
	return codeOf(error) && !reason.includes(codeOf(error)) ? `${reason} (${codeOf(error)})` : reason;
}

/** Reports whether the server's certificate is what is wrong: no later attempt mends that. */
function isCertificate(error: unknown): boolean {
	const code = codeOf(error);
	return (
		/CERT|^UNABLE_TO_(GET|VERIFY)|^(DEPTH_ZERO_)?SELF_SIGNED|^ERR_TLS_CERT|^HOSTNAME_MISMATCH/.test(code) ||
		/invalid peer certificate/.test(reasonOf(error)) // as Deno says it
	);
}

function bound(given: Duration | null | undefined, otherwise: number): number {
	return given === undefined ? otherwise : given === null ? Number.POSITIVE_INFINITY : milliseconds(given);
}

/** Checks the address of a server. A path before /v1 is kept. */
function baseURL(text: string): string {
	let url: URL;
	try {
		url = new URL(text);
	} catch {
		throw new TallygateError(
			`${JSON.stringify(text)} is not the address of a server: write it as http://HOST:PORT or https://HOST`,
		);
	}
	if (url.username || url.password) {
		throw new TallygateError("the address of the server holds a user or password: give the key as the option key");
	}
	if ((url.protocol !== "http:" && url.protocol !== "https:") || url.search || url.hash) {
		throw new TallygateError(
			`${JSON.stringify(text)} is not the address of a server: write it as http://HOST:PORT or https://HOST`,
		);
	}
	return url.origin + url.pathname.replace(/\/+$/, "");
}

function queryOf(query: Call["query"]): string {
	const parameters = new URLSearchParams();
	for (const [name, value] of Object.entries(query ?? {})) {
		if (value !== undefined) {
			parameters.append(name, String(value));
		}
	}
	const text = parameters.toString();
	return text === "" ? "" : `?${text}`;
}

function checkedKey(key: string | undefined): string | undefined {
	if (key !== undefined && !/^[!-~]{1,255}$/.test(key)) {
		throw new TallygateError("an idempotency key has 1 to 255 visible ASCII characters");
	}
	return key;
}

/** Makes 128 random bits, as text. */
function randomKey(): string {
	return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("");
}

/** The parts of the runtimes that are not everywhere. */
interface Runtime {
	process?: { env?: Record<string, string | undefined>; versions?: { node?: string } };
	Deno?: { env: { get(name: string): string | undefined } };
	document?: unknown;
	importScripts?: unknown;
}

const runtime = globalThis as unknown as Runtime;

/** Whether this runs in a page or a page's worker, where a User-Agent is the browser's own. */
const isBrowser =
	runtime.process?.versions?.node === undefined &&
	runtime.Deno === undefined &&
	(runtime.document !== undefined || runtime.importScripts !== undefined);

function environment(name: string): string | undefined {
	try {
		return runtime.process?.env?.[name] || runtime.Deno?.env.get(name) || undefined;
	} catch {
		return undefined; // Deno, without leave to read it
	}
}
