/**
 * Calls a Tallygate server: jobs with retries that never pay twice, streams of events, webhook verification. The worker
 * loop is in `tallygate/worker`.
 *
 * @packageDocumentation
 */
export type {
	AnswerNote,
	CallOptions,
	ClientOptions,
	EffectOptions,
	Fetch,
	FetchAnswer,
	FetchInit,
	Hooks,
	Logger,
	RequestNote,
	RetryNote,
} from "./call.js";
export type {
	Account,
	ApiKeys,
	Audit,
	ClientApiKeys,
	Clients,
	JobTypes,
	RotateOptions,
	UsageOptions,
	WorkerCalls,
} from "./client.js";
export { Tallygate } from "./client.js";
export type { Clock } from "./clock.js";
export type { Duration } from "./duration.js";
export * from "./errors.js";
export type {
	EventsOptions,
	FollowedEvent,
	JobFilter,
	Jobs,
	RunOptions,
	ServerWait,
	WaitOptions,
} from "./jobs.js";
export type { List } from "./list.js";
export type { ListOptions } from "./path.js";
export type * from "./types.js";
export { VERSION } from "./version.js";
export * as webhooks from "./webhooks.js";
