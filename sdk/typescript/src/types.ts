// The API's own shapes, as they travel. A test compares them with the API's description.

/** A time in UTC (RFC 3339), such as `"2026-01-31T15:04:05Z"`. */
export type Time = string;

/** An amount of the server's one currency as a decimal with two to six places, such as `"0.21"`. Never a number. */
export type Money = string;

/** A span of time in Go's notation, such as `"30s"` or `"24h"`. */
export type Span = string;

/** One page of a list. */
export interface Page<Item> {
	data: Item[];
	/** Where the next page begins; null: this is the last. */
	next_cursor: string | null;
}

/** Where a job stands: queued and running jobs are live, the others have ended. */
export type JobStatus = "queued" | "running" | "succeeded" | "failed" | "cancelled";

/** A job to be run. */
export interface Submission {
	/** The name of a job type. */
	type: string;
	/** What the job type's `input_schema` allows. */
	input: unknown;
	/** Higher first, among the client's own jobs: -1000 to 1000. */
	priority?: number | null;
	/** When it may start at the earliest. */
	run_at?: Time | null;
	/** How long it may take from its first start; the type's where it is left out. */
	time_limit?: Span | null;
	/** Refuses the job where it may cost more. */
	max_cost?: Money | null;
	/** Yours: an object of at most 16 KiB. */
	metadata?: Record<string, unknown> | null;
	/** Reserved. */
	webhook_url?: null;
}

/** The jobs of a batch, in the order in which they were sent. */
export interface JobBatch {
	data: Job[];
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
	/** From 0 to 1; null where its worker has not told. */
	progress: number | null;
	/** Which attempt this is, or was; 0 before the first. */
	attempt: number;
	max_attempts: number;
	/** How long it may take from its first start. */
	time_limit: Span;
	receipt: Receipt;
	/** Whether a cancel waits for the worker; there while the job is live. */
	cancel_requested?: boolean;
	/** Why the last attempt failed; there while the job is live. */
	last_error?: JobError | null;
	metadata: Record<string, unknown>;
	run_at: Time;
	created_at: Time;
	started_at: Time | null;
	finished_at: Time | null;
}

/** Why a job, or one of its attempts, failed. */
export interface JobError {
	/** `EXTERNAL_SERVICE_ERROR` where the last attempt failed upstream, else `PROCESSING_FAILED`. */
	code: string;
	message: string;
}

/** What a job costs. Once it has ended, what was held is what was charged and released. */
export interface Receipt {
	currency: string;
	/** The most it can cost. */
	quoted: Money;
	/** What was set aside at submit. */
	held: Money;
	/** What was taken at its end. */
	charged: Money;
	/** What went back at its end. */
	released: Money;
	/** What was used, by unit. */
	units: Record<string, number>;
	/** Which version of the type's price holds for it. */
	price_version: number;
}

/** Something that happened to a job. */
export interface JobEvent {
	id: string;
	/** Such as `job.progress`, whose data is `{progress}`, or `job.log`, whose data is `{line}`. */
	kind: string;
	/** The job's state after it; not there for progress and log lines. */
	status?: JobStatus;
	client_id: string | null;
	/** The job's id. */
	subject: string;
	/** The id of the key that did it; null where it was the job's course. */
	actor: string | null;
	data: Record<string, unknown>;
	created_at: Time;
}

/** A JSON Schema (2020-12). */
export type InputSchema = Record<string, unknown> | boolean;

/** What can be run. How it is done (the optional members) is shown to operators alone. */
export interface JobType {
	name: string;
	description: string;
	/** The JSON Schema (2020-12) of its input; `{}` allows everything. */
	input_schema: InputSchema;
	currency: string;
	price: Price;
	/** Rises with every change of the price. */
	price_version: number;
	/** How many attempts may fail. */
	max_attempts: number;
	/** How long a job may take from its first start. */
	time_limit: Span;
	cancel_charge: CancelCharge;
	/** How long ended jobs are kept. */
	retention: Span;
	/** How many jobs of it each client may submit. */
	limits: RateLimit | null;
	executor?: Executor;
	attempt_timeout?: Span;
	/** How long a lease lasts without a heartbeat. */
	lease?: Span;
	/** How many of its jobs run at once at most; null: no bound. */
	running_jobs?: number | null;
	/** Who may use it; null: everyone. */
	clients?: string[] | null;
	created_at: Time;
	updated_at: Time;
}

/** A job type as its operator defines it. What is left out has its default. */
export interface JobTypeDefinition {
	name?: string | null;
	description?: string | null;
	input_schema?: InputSchema | null;
	price?: PriceDefinition | null;
	executor?: ExecutorDefinition | null;
	max_attempts?: number | null;
	attempt_timeout?: Span | null;
	time_limit?: Span | null;
	lease?: Span | null;
	cancel_charge?: CancelCharge | null;
	running_jobs?: number | null;
	retention?: Span | null;
	limits?: RateLimitRequest | null;
	clients?: string[] | null;
}

/** Says that a job type is gone. */
export interface JobTypeDeleted {
	name: string;
	deleted: true;
}

/** What a cancelled job costs: nothing, the base price, or all that was held. */
export type CancelCharge = "none" | "base" | "hold";

/** What a job costs: a base, and a price for each unit that is used. */
export interface Price {
	base: Money;
	units: Record<string, UnitPrice>;
}

/** What one unit costs, and how many of it are charged for at most. */
export interface UnitPrice {
	price: Money;
	max: number;
}

/** What a job is to cost. The base and all units at their most are its quote. */
export interface PriceDefinition {
	base?: Money | null;
	units?: Record<string, UnitPrice> | null;
}

/** Who does the jobs. */
export type Executor = PullExecutor | HttpExecutor | BuiltinExecutor;

/** Who is to do the jobs. */
export type ExecutorDefinition = PullExecutor | HttpExecutorDefinition | BuiltinExecutor;

/** Workers that take the jobs over HTTP. */
export interface PullExecutor {
	kind: "pull";
}

/** An upstream that the server calls. Its secret is shown to nobody. */
export interface HttpExecutor {
	kind: "http";
	url: string;
	timeout: Span;
}

/** An upstream for the server to call. */
export interface HttpExecutorDefinition {
	kind: "http";
	url: string;
	timeout?: Span | null;
	/** Signs the calls. Left out it stays as it is, null takes it away. */
	secret?: string | null;
}

/** A Go handler in the server's process. */
export interface BuiltinExecutor {
	kind: "builtin";
	handler: string;
}

/** A smooth rate, and how many requests pass at one instant. */
export interface RateLimit {
	requests_per_second: number;
	burst: number;
}

/** A rate limit to be. */
export interface RateLimitRequest {
	requests_per_second: number;
	/** A second's worth where it is left out. */
	burst?: number | null;
}

/** The most that a job can cost. */
export interface Quote {
	type: string;
	currency: string;
	/** The base, and every unit at its most. */
	quoted: Money;
	price: Price;
	price_version: number;
}

/** A customer account. It owns keys, a balance, limits and jobs. */
export interface Client {
	id: string;
	name: string;
	status: "active" | "suspended";
	currency: string;
	/** What has to stay available when a job is accepted. */
	minimum_balance: Money;
	limits: ClientLimits;
	balance: Balance;
	jobs: LiveJobs;
	metadata: Record<string, unknown>;
	/** Whether it is the built-in client of the team that runs the server. */
	operator: boolean;
	created_at: Time;
}

/** What a client may do at once; 0 is no bound. */
export interface ClientLimits {
	requests_per_second: number;
	burst: number;
	running_jobs: number;
	queued_jobs: number;
}

/** Limits to be. What is left out has its default, or stays as it is. */
export interface ClientLimitsRequest {
	requests_per_second?: number | null;
	burst?: number | null;
	running_jobs?: number | null;
	queued_jobs?: number | null;
}

/** How many jobs of a client are live. */
export interface LiveJobs {
	queued: number;
	running: number;
}

/** What a client has. */
export interface Balance {
	/** What was credited, less what was charged. */
	posted: Money;
	/** What is set aside for live jobs. */
	held: Money;
	/** Posted less held. */
	available: Money;
}

/** A client to be. */
export interface NewClient {
	name: string;
	/** The server's, if anything. */
	currency?: string | null;
	minimum_balance?: Money | null;
	limits?: ClientLimitsRequest | null;
	metadata?: Record<string, unknown> | null;
}

/** What is to change in a client. What is left out, or null, stays. */
export interface ClientUpdate {
	name?: string | null;
	minimum_balance?: Money | null;
	limits?: ClientLimitsRequest | null;
	/** Replaces all there was. */
	metadata?: Record<string, unknown> | null;
}

/** Money to be added to a balance. */
export interface Credit {
	/** More than 0. */
	amount: Money;
	note?: string | null;
}

/** One immutable line of a client's ledger: signed changes of the posted and the held money. */
export interface Entry {
	id: string;
	client_id: string;
	/** 1, 2, 3 … within the client. */
	number: number;
	kind: "credit" | "hold" | "charge" | "release" | "refund" | "adjustment";
	posted: Money;
	held: Money;
	/** After it. */
	balance: Balance;
	job_id: string | null;
	note: string;
	created_at: Time;
}

/** What a client used, by day and type, the oldest first. All of it is one page. */
export interface Usage {
	data: UsageRow[];
	next_cursor: null;
}

/** The jobs of one type that ended on one day. */
export interface UsageRow {
	/** In UTC, such as `"2026-01-31"`. */
	day: string;
	type: string;
	succeeded: number;
	failed: number;
	cancelled: number;
	charged: Money;
	currency: string;
}

/** How requests ended, by route. All of it is one page. */
export interface ErrorRates {
	/** From when on it was counted. */
	since: Time;
	data: ErrorRate[];
	next_cursor: null;
}

/** How the requests of one route ended. */
export interface ErrorRate {
	/** Such as `"POST /v1/jobs"`; null for those that reached no route. */
	route: string | null;
	requests: number;
	errors: number;
	/** The share of errors. */
	error_rate: number;
	/** How many errors had which code. */
	codes: Record<string, number>;
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

/** A permission, or a preset that stands for several. */
export type Grant =
	| Permission
	| "preset:full"
	| "preset:submit"
	| "preset:read_only"
	| "preset:worker"
	| "preset:operator";

/** A credential of one client, without its text. */
export interface ApiKey {
	id: string;
	client_id: string;
	name: string;
	status: "active" | "expired" | "revoked";
	permissions: Permission[];
	/** The networks it may be used from; none: every address. */
	allowed_cidrs: string[];
	/** Beside the client's own. */
	limits: RateLimit | null;
	expires_at: Time | null;
	revoked_at: Time | null;
	/** Which key replaces it, after a rotation. */
	replaced_by: string | null;
	created_at: Time;
	/** To within a minute. */
	last_used_at: Time | null;
}

/** A new key with its text, which is shown here and never again. */
export interface ApiKeyCreated extends ApiKey {
	/** `tg_live_…`; null where the answer is a replay. */
	key: string | null;
}

/** A key to be. */
export interface NewApiKey {
	name?: string | null;
	permissions: Grant[];
	expires_at?: Time | null;
	allowed_cidrs?: string[] | null;
	limits?: RateLimitRequest | null;
}

/** Something that somebody did. */
export interface AuditRecord {
	id: string;
	/** Such as `api_key.revoked`. */
	kind: string;
	/** A job's state after it, where it is about a job. */
	status?: JobStatus;
	client_id: string | null;
	/** The id or name of what it was done to. */
	subject: string;
	/** The id of the key that did it; null: the server itself. */
	actor: string | null;
	data: Record<string, unknown>;
	created_at: Time;
}

/** Which jobs a worker can do, and how many it takes. */
export interface LeaseRequest {
	types: string[];
	/** 1 to 1000; by default 1. */
	max?: number | null;
	/** How long to wait for a job, at most `"1m"`. */
	wait?: Span | null;
	/** What people call the worker. */
	worker?: string | null;
}

/** What a worker got. */
export interface Leases {
	leases: Lease[];
}

/** The right to one attempt at a job, until a deadline. */
export interface Lease {
	/** Every report bears it. */
	token: string;
	attempt: number;
	/** When it ends without a heartbeat. */
	expires_at: Time;
	job: Job;
}

/** A worker's sign of life. */
export interface HeartbeatRequest {
	token: string;
	/** From 0 to 1. */
	progress?: number | null;
	/** At most 100 lines of at most 4000 bytes. */
	logs?: string[] | null;
}

/** How the lease goes on. */
export interface Heartbeat {
	/** When it now ends without another heartbeat. */
	expires_at: Time;
	/** Whether the job is to stop. */
	cancel_requested: boolean;
}

/** The result of an attempt. */
export interface Success {
	token: string;
	result: unknown;
	/** What was used, by the units that the job type meters. */
	units?: Record<string, number> | null;
}

/** Why an attempt failed. */
export interface Failure {
	token: string;
	error: AttemptError;
	/** Whether another attempt may help; by default true. */
	retry?: boolean | null;
	/** How long to wait at least before another attempt, at most `"24h"`. */
	retry_after?: Span | null;
}

/** What a worker says of a failure. */
export interface AttemptError {
	/** What went wrong; the client reads it. */
	message: string;
	/** Whether the job itself failed or something that it needs. */
	code?: "PROCESSING_FAILED" | "EXTERNAL_SERVICE_ERROR" | null;
}

/** Gives an attempt back. */
export interface Release {
	token: string;
}

/** Says that a report was taken. */
export interface Reported {
	job_id: string;
	ok: true;
}

/** What became of several attempts, and what the worker takes next. */
export interface ReportBatch {
	reports: Report[];
	lease?: LeaseRequest | null;
}

/** What became of an attempt. */
export type Report = SucceededReport | FailedReport | ReleasedReport;

/** An attempt that succeeded. */
export interface SucceededReport extends Success {
	job_id: string;
	outcome: "succeeded";
}

/** An attempt that failed. */
export interface FailedReport extends Failure {
	job_id: string;
	outcome: "failed";
}

/** An attempt that is given back. */
export interface ReleasedReport extends Release {
	job_id: string;
	outcome: "released";
}

/** What became of the reports, and the next leases. */
export interface ReportResults {
	results: ReportResult[];
	leases: Lease[];
}

/** What became of a report. It has `ok` where it was taken, else `error`. */
export interface ReportResult {
	job_id: string;
	ok?: true;
	error?: { code: string; message: string };
}

/** The process lives. */
export interface Health {
	status: "ok";
}

/** The server takes requests. */
export interface Readiness {
	status: "ok";
	/** The upstreams of the job types. */
	upstreams?: Upstream[];
	store?: { engine: "sqlite" | "postgres"; status: "ok" | "slow" | "unreachable"; delay_seconds: number };
	/** How old the news of revocations and suspensions are. */
	revision?: { lag_seconds: number };
	/** This node among the others; there on PostgreSQL. */
	cluster?: {
		nodes: number;
		leader: boolean;
		listener: { status: "ok" | "polling"; since: Time; problem?: string };
	};
	/** Who decides about rate limits; there where a server for all nodes is named. */
	limiter?: { status: "ok" | "alone"; since: Time; lapses: number; problem?: string };
}

/** Whether an upstream is called. */
export interface Upstream {
	/** The job type. */
	type: string;
	/** Called, not called, or tried with one job. */
	state: "closed" | "open" | "half_open";
	/** How many calls failed in a row. */
	failures: number;
	/** When it is tried again; null while it is called. */
	until: Time | null;
}

/** A document of OpenAPI, of which only this is said here. */
export interface Document {
	openapi: string;
}
