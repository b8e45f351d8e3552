import { type Call, Caller, type CallOptions, type ClientOptions, type EffectOptions } from "./call.js";
import { type Duration, notation } from "./duration.js";
import { Jobs, type RunOptions, run } from "./jobs.js";
import type { List } from "./list.js";
import { type ListOptions, listCall, segment } from "./path.js";
import type * as wire from "./types.js";

/** From which day up to, and without, which day: `"2026-01-31"` or a Date; by default the last 30 days. */
export interface UsageOptions extends CallOptions {
	from?: string | Date;
	to?: string | Date;
}

/** How long a rotated key stays good beside the new one. */
export interface RotateOptions extends EffectOptions {
	/** By default 24 h. */
	overlap?: Duration;
}

const inspect = Symbol.for("nodejs.util.inspect.custom");

/** Makes one call and returns the value of its answer. */
async function value<Value>(caller: Caller, call: Call, options: EffectOptions): Promise<Value> {
	return (await caller.call<Value>(call, options)).value;
}

/** Calls one Tallygate server with one key. It may be shared: its calls share a budget of retries. */
export class Tallygate {
	readonly #caller: Caller;
	/** Submit, look, wait, cancel. */
	readonly jobs: Jobs;
	/** What can be run. */
	readonly jobTypes: JobTypes;
	/** The own client: balance, ledger, use. */
	readonly account: Account;
	/** The own client's keys. */
	readonly apiKeys: ApiKeys;
	/** Operators alone: customers' accounts. */
	readonly clients: Clients;
	/** Operators alone: who did what. */
	readonly audit: Audit;
	/** The pull protocol, call by call. The loop is in `tallygate/worker`. */
	readonly worker: WorkerCalls;

	constructor(options: ClientOptions = {}) {
		const caller = new Caller(options);
		callers.set(this, caller);
		this.#caller = caller;
		this.jobs = new Jobs(caller);
		this.jobTypes = new JobTypes(caller);
		this.account = new Account(caller);
		this.apiKeys = new ApiKeys(caller, "/v1/api-keys", ownKeys);
		this.clients = new Clients(caller);
		this.audit = new Audit(caller);
		this.worker = new WorkerCalls(caller);
	}

	/** The server's address. */
	get url(): string {
		return this.#caller.url;
	}

	/**
	 * Submits a job, waits for its end and returns its result. A job that fails throws the error of its code, one that is
	 * cancelled a JobCancelledError, one that takes too long a WaitTimeoutError.
	 */
	run<Result = unknown>(type: string, input: unknown, options: RunOptions = {}): Promise<Result> {
		return run<Result>(this.#caller, this.jobs, type, input, options);
	}

	/** Tells what a job would cost at most, after the checks that a submit would make. */
	quote(submission: wire.Submission, options: CallOptions = {}): Promise<wire.Quote> {
		return value(
			this.#caller,
			{ operation: "quoteJob", method: "POST", path: "/v1/quotes", body: submission },
			options,
		);
	}

	/** Answers as long as the server lives. */
	health(options: CallOptions = {}): Promise<wire.Health> {
		return value(this.#caller, { operation: "getHealth", method: "GET", path: "/healthz" }, options);
	}

	/** Answers while the server takes requests, and tells of its parts. */
	ready(options: CallOptions = {}): Promise<wire.Readiness> {
		return value(this.#caller, { operation: "getReadiness", method: "GET", path: "/readyz" }, options);
	}

	/** Returns the API's description, a document of OpenAPI 3.1. */
	openapi(options: CallOptions = {}): Promise<wire.Document> {
		return value(this.#caller, { operation: "getOpenAPI", method: "GET", path: "/openapi.json" }, options);
	}

	/** The key is in no printed form. */
	toJSON(): { url: string } {
		return { url: this.url };
	}

	[inspect](): string {
		return `Tallygate { url: '${this.url}' }`;
	}
}

const callers = new WeakMap<Tallygate, Caller>();

/** Returns what makes the client's calls: for the worker loop, which needs an answer's headers. */
export function callerOf(client: Tallygate): Caller {
	return callers.get(client) as Caller;
}

/** What can be run. */
export class JobTypes {
	readonly #caller: Caller;

	/** @internal */
	constructor(caller: Caller) {
		this.#caller = caller;
	}

	/** Lists the job types that are open to the caller, by name. */
	list(part: ListOptions = {}, options: CallOptions = {}): List<wire.JobType> {
		return listCall(this.#caller, "listJobTypes", "/v1/job-types", part, options);
	}

	/** Returns a job type: its schema, its price. */
	get(name: string, options: CallOptions = {}): Promise<wire.JobType> {
		return value(this.#caller, { operation: "getJobType", method: "GET", path: typePath(name) }, options);
	}

	/** Operators alone: defines a job type, anew or for the first time. What the definition leaves out has its default. */
	define(name: string, definition: wire.JobTypeDefinition, options: CallOptions = {}): Promise<wire.JobType> {
		return value(
			this.#caller,
			{ operation: "defineJobType", method: "PUT", path: typePath(name), body: definition },
			options,
		);
	}

	/** Operators alone: deletes a job type that has no live jobs. */
	delete(name: string, options: CallOptions = {}): Promise<wire.JobTypeDeleted> {
		return value(this.#caller, { operation: "deleteJobType", method: "DELETE", path: typePath(name) }, options);
	}
}

function typePath(name: string): string {
	return `/v1/job-types/${segment(name)}`;
}

/** The own client. */
export class Account {
	readonly #caller: Caller;

	/** @internal */
	constructor(caller: Caller) {
		this.#caller = caller;
	}

	/** Returns the own client with its balance and limits. */
	get(options: CallOptions = {}): Promise<wire.Client> {
		return value(this.#caller, { operation: "getAccount", method: "GET", path: "/v1/account" }, options);
	}

	/** Lists the ledger, the newest entry first. */
	entries(part: ListOptions = {}, options: CallOptions = {}): List<wire.Entry> {
		return listCall(this.#caller, "listAccountEntries", "/v1/account/entries", part, options);
	}

	/** Returns the ended jobs by day and type, the oldest first. */
	usage(options: UsageOptions = {}): Promise<wire.Usage> {
		return value(this.#caller, usageCall("getAccountUsage", "/v1/account/usage", options), options);
	}

	/** Returns how the requests to this node ended within the last day, by route. */
	errors(options: CallOptions = {}): Promise<wire.ErrorRates> {
		return value(this.#caller, { operation: "getAccountErrors", method: "GET", path: "/v1/account/errors" }, options);
	}
}

function usageCall(operation: string, path: string, { from, to }: UsageOptions): Call {
	return { operation, method: "GET", path, query: { from: dayOf(from), to: dayOf(to) } };
}

function dayOf(day: string | Date | undefined): string | undefined {
	return day instanceof Date ? day.toISOString().slice(0, "2026-01-31".length) : day;
}

/** The names of the operations on keys. */
interface KeyOperations {
	list: string;
	create: string;
	get: string;
	revoke: string;
	rotate: string;
}

const ownKeys: KeyOperations = {
	list: "listApiKeys",
	create: "createApiKey",
	get: "getApiKey",
	revoke: "revokeApiKey",
	rotate: "rotateApiKey",
};

const clientsKeys: KeyOperations = {
	list: "listClientApiKeys",
	create: "createClientApiKey",
	get: "getClientApiKey",
	revoke: "revokeClientApiKey",
	rotate: "rotateClientApiKey",
};

/** The own client's keys. */
export class ApiKeys {
	readonly #caller: Caller;
	readonly #path: string;
	readonly #operations: KeyOperations;

	/** @internal */
	constructor(caller: Caller, path: string, operations: KeyOperations) {
		this.#caller = caller;
		this.#path = path;
		this.#operations = operations;
	}

	/** Lists the keys, the newest first, without their text. */
	list(part: ListOptions = {}, options: CallOptions = {}): List<wire.ApiKey> {
		return listCall(this.#caller, this.#operations.list, this.#path, part, options);
	}

	/** Creates a key. Its text is in this answer and nowhere else. */
	async create(request: wire.NewApiKey, options: EffectOptions = {}): Promise<wire.ApiKeyCreated> {
		const call: Call = {
			operation: this.#operations.create,
			method: "POST",
			path: this.#path,
			body: request,
			effect: true,
		};
		return discreet(await value(this.#caller, call, options));
	}

	/** Returns a key, without its text. */
	get(id: string, options: CallOptions = {}): Promise<wire.ApiKey> {
		const path = `${this.#path}/${segment(id)}`;
		return value(this.#caller, { operation: this.#operations.get, method: "GET", path }, options);
	}

	/** Revokes a key, at once and for ever. */
	revoke(id: string, options: EffectOptions = {}): Promise<wire.ApiKey> {
		const path = `${this.#path}/${segment(id)}/revoke`;
		return value(this.#caller, { operation: this.#operations.revoke, method: "POST", path, effect: true }, options);
	}

	/** Makes a new key with the rights of this one, which stays good for the overlap. */
	async rotate(id: string, options: RotateOptions = {}): Promise<wire.ApiKeyCreated> {
		const call: Call = {
			operation: this.#operations.rotate,
			method: "POST",
			path: `${this.#path}/${segment(id)}/rotate`,
			...(options.overlap === undefined ? {} : { body: { overlap: notation(options.overlap) } }),
			effect: true,
		};
		return discreet(await value(this.#caller, call, options));
	}
}

/** Keeps the text of a new key out of what printing it shows. */
function discreet(key: wire.ApiKeyCreated): wire.ApiKeyCreated {
	return Object.defineProperty(key, inspect, {
		value: () => ({ ...key, key: key.key === null ? null : `tg_live_${key.id}_…` }),
	});
}

/** Operators alone: customers' accounts. */
export class Clients {
	readonly #caller: Caller;
	/** A client's keys. */
	readonly apiKeys: ClientApiKeys;

	/** @internal */
	constructor(caller: Caller) {
		this.#caller = caller;
		this.apiKeys = new ClientApiKeys(caller);
	}

	/** Lists the clients, the newest first. */
	list(part: ListOptions = {}, options: CallOptions = {}): List<wire.Client> {
		return listCall(this.#caller, "listClients", "/v1/clients", part, options);
	}

	/** Creates a client, without money and keys. */
	create(client: wire.NewClient, options: EffectOptions = {}): Promise<wire.Client> {
		return value(
			this.#caller,
			{ operation: "createClient", method: "POST", path: "/v1/clients", body: client, effect: true },
			options,
		);
	}

	/** Returns a client with its balance. */
	get(id: string, options: CallOptions = {}): Promise<wire.Client> {
		return value(this.#caller, { operation: "getClient", method: "GET", path: clientPath(id) }, options);
	}

	/** Changes what is named; the rest stays. */
	update(id: string, change: wire.ClientUpdate, options: CallOptions = {}): Promise<wire.Client> {
		return value(
			this.#caller,
			{ operation: "updateClient", method: "PATCH", path: clientPath(id), body: change },
			options,
		);
	}

	/** Refuses all its calls from now on. Its queued jobs wait, its running ones finish. */
	suspend(id: string, options: EffectOptions = {}): Promise<wire.Client> {
		const path = `${clientPath(id)}/suspend`;
		return value(this.#caller, { operation: "suspendClient", method: "POST", path, effect: true }, options);
	}

	/** Takes its calls again. */
	activate(id: string, options: EffectOptions = {}): Promise<wire.Client> {
		const path = `${clientPath(id)}/activate`;
		return value(this.#caller, { operation: "activateClient", method: "POST", path, effect: true }, options);
	}

	/**
	 * Tops a client up and returns the ledger's entry. Give an idempotency key of your own, such as the payment's id:
	 * then a top-up is never made twice, not even by two processes.
	 */
	credit(id: string, credit: wire.Credit, options: EffectOptions = {}): Promise<wire.Entry> {
		const path = `${clientPath(id)}/credits`;
		return value(
			this.#caller,
			{ operation: "creditClient", method: "POST", path, body: credit, effect: true },
			options,
		);
	}

	/** Lists a client's ledger, the newest entry first. */
	entries(id: string, part: ListOptions = {}, options: CallOptions = {}): List<wire.Entry> {
		return listCall(this.#caller, "listClientEntries", `${clientPath(id)}/entries`, part, options);
	}

	/** Returns a client's ended jobs by day and type, the oldest first. */
	usage(id: string, options: UsageOptions = {}): Promise<wire.Usage> {
		return value(this.#caller, usageCall("getClientUsage", `${clientPath(id)}/usage`, options), options);
	}

	/** Returns how a client's requests to this node ended within the last day, by route. */
	errors(id: string, options: CallOptions = {}): Promise<wire.ErrorRates> {
		const path = `${clientPath(id)}/errors`;
		return value(this.#caller, { operation: "getClientErrors", method: "GET", path }, options);
	}
}

function clientPath(id: string): string {
	return `/v1/clients/${segment(id)}`;
}

/** Operators alone: a client's keys. */
export class ClientApiKeys {
	readonly #caller: Caller;

	/** @internal */
	constructor(caller: Caller) {
		this.#caller = caller;
	}

	#of(clientId: string): ApiKeys {
		return new ApiKeys(this.#caller, `${clientPath(clientId)}/api-keys`, clientsKeys);
	}

	/** Lists a client's keys, without their text. */
	list(clientId: string, part: ListOptions = {}, options: CallOptions = {}): List<wire.ApiKey> {
		return this.#of(clientId).list(part, options);
	}

	/** Creates a key for a client. Its text is in this answer and nowhere else. */
	create(clientId: string, request: wire.NewApiKey, options: EffectOptions = {}): Promise<wire.ApiKeyCreated> {
		return this.#of(clientId).create(request, options);
	}

	/** Returns a client's key, without its text. */
	get(clientId: string, id: string, options: CallOptions = {}): Promise<wire.ApiKey> {
		return this.#of(clientId).get(id, options);
	}

	/** Revokes a client's key, at once and for ever. */
	revoke(clientId: string, id: string, options: EffectOptions = {}): Promise<wire.ApiKey> {
		return this.#of(clientId).revoke(id, options);
	}

	/** Makes a new key with the rights of this one, which stays good for the overlap. */
	rotate(clientId: string, id: string, options: RotateOptions = {}): Promise<wire.ApiKeyCreated> {
		return this.#of(clientId).rotate(id, options);
	}
}

/** Operators alone: who did what. */
export class Audit {
	readonly #caller: Caller;

	/** @internal */
	constructor(caller: Caller) {
		this.#caller = caller;
	}

	/** Lists what was done, the newest first. */
	list(part: ListOptions = {}, options: CallOptions = {}): List<wire.AuditRecord> {
		return listCall(this.#caller, "listAuditRecords", "/v1/audit", part, options);
	}
}

/** The pull protocol, call by call; every one may be repeated. The loop is in `tallygate/worker`. */
export class WorkerCalls {
	readonly #caller: Caller;

	/** @internal */
	constructor(caller: Caller) {
		this.#caller = caller;
	}

	/** Takes jobs, after waiting for the first. */
	lease(request: wire.LeaseRequest, options: CallOptions = {}): Promise<wire.Leases> {
		return value(
			this.#caller,
			{
				operation: "leaseJobs",
				method: "POST",
				path: "/v1/worker/lease",
				body: request,
				wait: request.wait ?? undefined,
			},
			options,
		);
	}

	/** Settles a batch and takes the next jobs. Each report has its own result; one that is refused holds up no other. */
	report(reports: wire.ReportBatch, options: CallOptions = {}): Promise<wire.ReportResults> {
		return value(
			this.#caller,
			{
				operation: "reportJobs",
				method: "POST",
				path: "/v1/worker/report",
				body: reports,
				wait: reports.lease?.wait ?? undefined,
			},
			options,
		);
	}

	/** Renews a lease, tells progress and log lines, and learns whether the job is to be cancelled. */
	heartbeat(jobId: string, beat: wire.HeartbeatRequest, options: CallOptions = {}): Promise<wire.Heartbeat> {
		return this.#call("heartbeatJob", jobId, "heartbeat", beat, options);
	}

	/** Settles a job that succeeded. */
	succeed(jobId: string, success: wire.Success, options: CallOptions = {}): Promise<wire.Reported> {
		return this.#call("succeedJob", jobId, "succeed", success, options);
	}

	/** Ends an attempt that failed: another follows, or the job's end. */
	fail(jobId: string, failure: wire.Failure, options: CallOptions = {}): Promise<wire.Reported> {
		return this.#call("failJob", jobId, "fail", failure, options);
	}

	/** Gives a job back, without an attempt spent. */
	release(jobId: string, release: wire.Release, options: CallOptions = {}): Promise<wire.Reported> {
		return this.#call("releaseJob", jobId, "release", release, options);
	}

	#call<Value>(operation: string, jobId: string, verb: string, body: unknown, options: CallOptions): Promise<Value> {
		const path = `/v1/worker/jobs/${segment(jobId)}/${verb}`;
		return value(this.#caller, { operation, method: "POST", path, body }, options);
	}
}
