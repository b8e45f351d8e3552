/** An RFC 3339 time in UTC, such as `"2026-01-31T15:04:05Z"`. */
export type Time = string;

/** An amount of the server's one currency as a decimal with two to six places, such as `"0.21"`. Never a number. */
export type Money = string;

/** A span of time in Go's notation, such as `"30s"` or `"24h"`. */
export type Span = string;

/** Where a job stands: queued and running jobs are live, the others have ended. */
export type JobStatus = "queued" | "running" | "succeeded" | "failed" | "cancelled";

/** What is submitted. */
export interface Submission {
	/** The name of a job type. */
	type: string;
	/** What the job type's `input_schema` asks for. */
	input: unknown;
	/** Orders one client's own jobs, higher first: -1000 to 1000. */
	priority?: number | null;
	/** Not before this time. */
	run_at?: Time | null;
	/** From the first start; shortens the job type's own. */
	time_limit?: Span | null;
	/** Refuses the job where it could cost more. */
	max_cost?: Money | null;
	/** Yours: an object of at most 16 KiB. */
	metadata?: Record<string, unknown> | null;
	/** Reserved. */
	webhook_url?: string | null;
}

/** What a job did cost, or may. */
export interface Receipt {
	currency: string;
	/** The most it can cost. */
	quoted: Money;
	/** Set aside while it lives. */
	held: Money;
	/** Taken at its end. */
	charged: Money;
	/** Given back at its end. */
	released: Money;
	/** What it used, by unit. */
	units: Record<string, number>;
	/** The version of the job type's price. */
	price_version: number;
}

/** Why a job failed. */
export interface JobError {
	/** `PROCESSING_FAILED`, or `EXTERNAL_SERVICE_ERROR` where an upstream failed. */
	code: string;
	message: string;
}

/** One piece of work of one client. */
export interface Job<Result = unknown, Input = unknown> {
	id: string;
	type: string;
	client_id: string;
	status: JobStatus;
	priority: number;
	input: Input;
	/** Null unless it succeeded. */
	result: Result | null;
	/** Null unless it failed. */
	error: JobError | null;
	/** From 0 to 1; null where none is told. */
	progress: number | null;
	/** Which attempt this is, from 1; 0 before the first. */
	attempt: number;
	max_attempts: number;
	time_limit: Span;
	receipt: Receipt;
	/** Live jobs alone: whether somebody has asked to cancel it. */
	cancel_requested?: boolean;
	/** Live jobs alone: why the last attempt failed. */
	last_error?: JobError | null;
	metadata: Record<string, unknown>;
	run_at: Time | null;
	created_at: Time;
	started_at: Time | null;
	finished_at: Time | null;
}

/** Something that happened to a job, a client, a key or a job type. */
export interface Event {
	id: string;
	/** Such as `job.progress`, whose data is `{progress}`, or `job.log`, whose data is `{line}`. */
	kind: string;
	/** For a job's: the status that it came to. */
	status?: JobStatus;
	client_id: string | null;
	/** The id or name of what it happened to. */
	subject: string;
	/** The id of the key that did it; null: the server. */
	actor: string | null;
	data: Record<string, unknown>;
	created_at: Time;
}

/** One page of a list. */
export interface Page<Item> {
	data: Item[];
	/** Where the next page begins; null: this is the last. */
	next_cursor: string | null;
}

/** A smooth rate, and how many requests pass at one instant. */
export interface RateLimit {
	requests_per_second: number;
	burst: number;
}

/** The price of one unit, and the most units of one job that are charged for. */
export interface UnitPrice {
	price: Money;
	max: number;
}

/** What a job may cost: a base and, for each unit that the type meters, its price. */
export interface Price {
	base: Money;
	units: Record<string, UnitPrice>;
}

/** Who does a type's jobs. */
export interface Executor {
	/** `pull`: workers; `http`: an upstream; `builtin`: a function in the server. */
	kind: "pull" | "http" | "builtin";
	/** http: where the input is posted. */
	url?: string;
	/** http: of one call. */
	timeout?: Span;
	/** builtin: its name. */
	handler?: string;
}

/** What can be run. */
export interface JobType {
	name: string;
	description: string;
	/** JSON Schema 2020-12. */
	input_schema: unknown;
	currency: string;
	price: Price;
	price_version: number;
	max_attempts: number;
	time_limit: Span;
	/** What a cancelled job costs. */
	cancel_charge: "none" | "base" | "hold";
	/** How long an ended job is kept. */
	retention: Span;
	/** Of each client's submits. */
	limits: RateLimit | null;
	/** Operators alone see this and the rest. */
	executor?: Executor;
	attempt_timeout?: Span;
	lease?: Span;
	/** Most jobs at once over all clients; null: no cap. */
	running_jobs?: number | null;
	/** Who may use it; null: everyone. */
	clients?: string[] | null;
	created_at: Time;
	updated_at: Time;
}

/** How a job type is defined. What is left out has its default. */
export interface JobTypeDefinition {
	name?: string | null;
	description?: string | null;
	input_schema?: unknown;
	price?: { base?: Money | null; units?: Record<string, UnitPrice> | null } | null;
	executor?: ExecutorDefinition | null;
	max_attempts?: number | null;
	attempt_timeout?: Span | null;
	time_limit?: Span | null;
	lease?: Span | null;
	cancel_charge?: "none" | "base" | "hold" | null;
	running_jobs?: number | null;
	retention?: Span | null;
	limits?: { requests_per_second: number; burst?: number | null } | null;
	clients?: string[] | null;
}

/** Who is to do a type's jobs. */
export interface ExecutorDefinition {
	kind: "pull" | "http" | "builtin";
	url?: string | null;
	timeout?: Span | null;
	/** Signs the calls to an upstream. Left out: the stored one stays; null: it goes. It is shown to nobody. */
	secret?: string | null;
	handler?: string | null;
}

/** The answer to the deletion of a job type. */
export interface DeletedJobType {
	name: string;
	deleted: boolean;
}

/** What a job would cost at most. */
export interface Quote {
	type: string;
	currency: string;
	quoted: Money;
	price: Price;
	price_version: number;
}

/** Posted money, the part of it that is held for live jobs, and what is left. */
export interface Balance {
	posted: Money;
	held: Money;
	available: Money;
}

/** What a client may do at once; 0 is no cap. */
export interface ClientLimits {
	requests_per_second: number;
	burst: number;
	running_jobs: number;
	queued_jobs: number;
}

/** A customer account. */
export interface Client {
	id: string;
	name: string;
	status: "active" | "suspended";
	currency: string;
	minimum_balance: Money;
	limits: ClientLimits;
	balance: Balance;
	jobs: { queued: number; running: number };
	metadata: Record<string, unknown>;
	/** Whether it is the built-in client of those who run the server. */
	operator: boolean;
	created_at: Time;
}

/** A client to be. */
export interface NewClient {
	name: string;
	minimum_balance?: Money | null;
	limits?: { [Limit in keyof ClientLimits]?: number | null } | null;
	/** The server's own, if named. */
	currency?: string | null;
	metadata?: Record<string, unknown> | null;
}

/** What changes about a client; the rest stays. */
export interface ClientChange {
	name?: string | null;
	minimum_balance?: Money | null;
	limits?: { [Limit in keyof ClientLimits]?: number | null } | null;
	metadata?: Record<string, unknown> | null;
}

/** A top-up. */
export interface Credit {
	/** More than 0. */
	amount: Money;
	note?: string | null;
}

/** One immutable line of a client's ledger: signed deltas, and the balance after it. */
export interface Entry {
	id: string;
	client_id: string;
	/** 1, 2, 3 … within the client. */
	number: number;
	kind: "credit" | "hold" | "charge" | "release" | "refund" | "adjustment";
	posted: Money;
	held: Money;
	balance: Balance;
	job_id: string | null;
	note: string;
	created_at: Time;
}

/** One day's ended jobs of one type. */
export interface Usage {
	/** In UTC, such as `"2026-01-31"`. */
	day: string;
	type: string;
	succeeded: number;
	failed: number;
	cancelled: number;
	charged: Money;
	currency: string;
}

/** How the requests of one route ended. */
export interface ErrorRate {
	/** Such as `"POST /v1/jobs"`; null: no route. */
	route: string | null;
	requests: number;
	errors: number;
	error_rate: number;
	/** How many by code. */
	codes: Record<string, number>;
}

/** Error rates by route. */
export interface ErrorRates extends Page<ErrorRate> {
	since: Time;
}

/** One thing that a key may do. */
export type Permission =
	| "jobs:read"
	| "jobs:write"
	| "account:read"
	| "keys:read"
	| "keys:write"
	| "webhooks:read"
	| "webhooks:write"
	| "clients:read"
	| "clients:write"
	| "balance:write"
	| "job_types:write"
	| "audit:read"
	| "work";

/** A name for a usual set of permissions. */
export type Preset = "preset:full" | "preset:submit" | "preset:read_only" | "preset:worker" | "preset:operator";

/** A credential of one client. Its text is in a NewApiKey alone. */
export interface ApiKey {
	id: string;
	client_id: string;
	name: string;
	status: "active" | "expired" | "revoked";
	permissions: Permission[];
	/** Networks from which it may be used; empty: any. */
	allowed_cidrs: string[];
	limits: RateLimit | null;
	expires_at: Time | null;
	revoked_at: Time | null;
	/** The id of the key that it was rotated into. */
	replaced_by: string | null;
	created_at: Time;
	/** To within a minute. */
	last_used_at: Time | null;
}

/** A key as the answer to its making: the only time that its text is shown. */
export interface NewApiKey extends ApiKey {
	/** `tg_live_…`; null where the call was a replay, since the server keeps it nowhere. */
	key: string | null;
}

/** A key to be. */
export interface ApiKeyRequest {
	name?: string | null;
	permissions: (Permission | Preset)[];
	expires_at?: Time | null;
	allowed_cidrs?: string[] | null;
	limits?: { requests_per_second: number; burst?: number | null } | null;
}

/** Which jobs a worker can do, and how many it takes. */
export interface LeaseRequest {
	types: string[];
	/** 1 to 1000, by default 1. */
	max?: number | null;
	/** How long to wait for the first, at most `"1m"`. */
	wait?: Span | null;
	/** A name for people. */
	worker?: string | null;
}

/** The right to one attempt at a job until a deadline. */
export interface Lease<Input = unknown> {
	/** Reports bear it. */
	token: string;
	attempt: number;
	expires_at: Time;
	job: Job<unknown, Input>;
}

/** Some leases, or none. */
export interface Leases {
	leases: Lease[];
}

/** A sign of life. */
export interface Heartbeat {
	token: string;
	/** From 0 to 1. */
	progress?: number | null;
	/** At most 100 lines of at most 4000 bytes. */
	logs?: string[] | null;
}

/** The answer to a sign of life. */
export interface HeartbeatAnswer {
	expires_at: Time;
	cancel_requested: boolean;
}

/** A success. */
export interface Success {
	token: string;
	result: unknown;
	/** What was used, by unit. */
	units?: Record<string, number> | null;
}

/** A failed attempt. */
export interface FailedAttempt {
	token: string;
	error: { message: string; code?: "PROCESSING_FAILED" | "EXTERNAL_SERVICE_ERROR" | null };
	/** Whether another attempt may succeed; by default true. */
	retry?: boolean | null;
	/** Not before this. */
	retry_after?: Span | null;
}

/** A job given back, without an attempt spent. */
export interface Release {
	token: string;
}

/** How one attempt ended. */
export type Report = { job_id: string } & (
	| ({ outcome: "succeeded" } & Success)
	| ({ outcome: "failed" } & FailedAttempt)
	| ({ outcome: "released" } & Release)
);

/** A batch of reports, and what to lease next. */
export interface Reports {
	reports: Report[];
	lease?: LeaseRequest | null;
}

/** What became of one report. */
export interface ReportResult {
	job_id: string;
	ok?: boolean;
	error?: { code: string; message: string };
}

/** What became of a batch of reports, and the next leases. */
export interface ReportsAnswer extends Leases {
	results: ReportResult[];
}

/** A server that lives. */
export interface Health {
	status: string;
}

/** A server that takes requests, and what it says of its parts. */
export interface Readiness {
	status: string;
	[part: string]: unknown;
}
