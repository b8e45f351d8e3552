import type {
	ClientUpdate,
	Credit,
	EffectOptions,
	HeartbeatRequest,
	JobFilter,
	JobTypeDefinition,
	LeaseRequest,
	List,
	ListOptions,
	NewApiKey,
	NewClient,
	ReportBatch,
	RunOptions,
	Submission,
	Success,
} from "tallygate";
import { type Failure, type Release, type Tallygate, webhooks } from "tallygate";

/** What a case gives an operation: parameters of path and query by their names on the wire, and the body. */
interface Arguments {
	id?: string;
	name?: string;
	client?: string;
	key?: string;
	type?: string;
	wait?: string;
	body?: unknown;
	timeout?: string;
	cancel_on_timeout?: boolean;
	last_event_id?: string;
	input?: unknown;
	limit?: number;
	cursor?: string;
	from?: string;
	to?: string;
	payload?: string;
	headers?: Record<string, string>;
	secret?: string;
	now?: number;
	status?: "queued" | "running" | "succeeded" | "failed" | "cancelled";
	created_after?: string;
	created_before?: string;
	metadata?: Record<string, string>;
	client_id?: string;
}

type Operation = (
	client: Tallygate,
	given: Record<string, unknown>,
	options: EffectOptions & RunOptions,
) => Promise<unknown>;
type Typed = (client: Tallygate, given: Arguments, options: EffectOptions & RunOptions) => Promise<unknown>;
type Listed = (client: Tallygate, given: Arguments, options: EffectOptions) => List<unknown>;

const part = ({ limit, cursor }: Arguments): ListOptions => ({ limit, cursor });

const filter = (given: Arguments): JobFilter => ({
	...part(given),
	status: given.status,
	type: given.type,
	createdAfter: given.created_after,
	createdBefore: given.created_before,
	metadata: given.metadata,
	clientId: given.client_id,
});

const id = (given: Arguments) => given.id as string;
const client = (given: Arguments) => given.client as string;
const key = (given: Arguments) => given.key as string;
const days = ({ from, to }: Arguments) => ({ ...(from ? { from } : {}), ...(to ? { to } : {}) });
const overlap = (given: Arguments) => given.body as { overlap?: string };

const lists: Record<string, Listed> = {
	listJobs: (c, given, options) => c.jobs.list(filter(given), options),
	listJobTypes: (c, given, options) => c.jobTypes.list(part(given), options),
	listAccountEntries: (c, given, options) => c.account.entries(part(given), options),
	listApiKeys: (c, given, options) => c.apiKeys.list(part(given), options),
	listClients: (c, given, options) => c.clients.list(part(given), options),
	listClientEntries: (c, given, options) => c.clients.entries(id(given), part(given), options),
	listClientApiKeys: (c, given, options) => c.clients.apiKeys.list(client(given), part(given), options),
	listAuditRecords: (c, given, options) => c.audit.list(part(given), options),
};

async function collect(items: AsyncIterable<unknown>): Promise<unknown[]> {
	const all: unknown[] = [];
	for await (const item of items) {
		all.push(item);
	}
	return all;
}

const calls: Record<string, Typed> = {
	submitJob: (c, given, options) => c.jobs.submit(given.body as Submission, { ...options, wait: given.wait }),
	submitJobBatch: (c, given, options) => c.jobs.submitBatch((given.body as { jobs: Submission[] }).jobs, options),
	getJob: (c, given, options) => c.jobs.get(id(given), { ...options, wait: given.wait }),
	getJobResult: (c, given, options) => c.jobs.result(id(given), options),
	streamJobEvents: (c, given, options) => collect(c.jobs.events(id(given), options)),
	cancelJob: (c, given, options) => c.jobs.cancel(id(given), options),
	runJob: (c, given, options) => c.jobs.runDirect(given.type as string, given.body, { ...options, wait: given.wait }),
	getJobType: (c, given, options) => c.jobTypes.get(given.name as string, options),
	defineJobType: (c, given, options) =>
		c.jobTypes.define(given.name as string, given.body as JobTypeDefinition, options),
	deleteJobType: (c, given, options) => c.jobTypes.delete(given.name as string, options),
	quoteJob: (c, given, options) => c.quote(given.body as Submission, options),
	getAccount: (c, _, options) => c.account.get(options),
	getAccountUsage: (c, given, options) => c.account.usage({ ...options, ...days(given) }),
	getAccountErrors: (c, _, options) => c.account.errors(options),
	createApiKey: (c, given, options) => c.apiKeys.create(given.body as NewApiKey, options),
	getApiKey: (c, given, options) => c.apiKeys.get(id(given), options),
	revokeApiKey: (c, given, options) => c.apiKeys.revoke(id(given), options),
	rotateApiKey: (c, given, options) => c.apiKeys.rotate(id(given), { ...options, ...overlap(given) }),
	createClient: (c, given, options) => c.clients.create(given.body as NewClient, options),
	getClient: (c, given, options) => c.clients.get(id(given), options),
	updateClient: (c, given, options) => c.clients.update(id(given), given.body as ClientUpdate, options),
	suspendClient: (c, given, options) => c.clients.suspend(id(given), options),
	activateClient: (c, given, options) => c.clients.activate(id(given), options),
	creditClient: (c, given, options) => c.clients.credit(id(given), given.body as Credit, options),
	getClientUsage: (c, given, options) => c.clients.usage(id(given), { ...options, ...days(given) }),
	getClientErrors: (c, given, options) => c.clients.errors(id(given), options),
	createClientApiKey: (c, given, options) => c.clients.apiKeys.create(client(given), given.body as NewApiKey, options),
	getClientApiKey: (c, given, options) => c.clients.apiKeys.get(client(given), key(given), options),
	revokeClientApiKey: (c, given, options) => c.clients.apiKeys.revoke(client(given), key(given), options),
	rotateClientApiKey: (c, given, options) =>
		c.clients.apiKeys.rotate(client(given), key(given), { ...options, ...overlap(given) }),
	leaseJobs: (c, given, options) => c.worker.lease(given.body as LeaseRequest, options),
	reportJobs: (c, given, options) => c.worker.report(given.body as ReportBatch, options),
	heartbeatJob: (c, given, options) => c.worker.heartbeat(id(given), given.body as HeartbeatRequest, options),
	succeedJob: (c, given, options) => c.worker.succeed(id(given), given.body as Success, options),
	failJob: (c, given, options) => c.worker.fail(id(given), given.body as Failure, options),
	releaseJob: (c, given, options) => c.worker.release(id(given), given.body as Release, options),
	getHealth: (c, _, options) => c.health(options),
	getReadiness: (c, _, options) => c.ready(options),
	getOpenAPI: (c, _, options) => c.openapi(options),

	wait: (c, given, options) =>
		c.jobs.wait(id(given), { ...options, timeout: given.timeout, cancelOnTimeout: given.cancel_on_timeout }),
	run: (c, given, options) =>
		c.run(given.type as string, given.input, {
			...options,
			timeout: given.timeout,
			cancelOnTimeout: given.cancel_on_timeout,
		}),
	events: (c, given, options) => collect(c.jobs.events(id(given), { ...options, lastEventId: given.last_event_id })),
	verify: (_, given) =>
		webhooks.verify(given.payload as string, given.headers as Record<string, string>, given.secret as string, {
			now: (given.now as number) * 1000,
		}),
};

for (const [name, list] of Object.entries(lists)) {
	calls[name] = (c, given, options) => list(c, given, options).page();
	calls[`all:${name}`] = (c, given, options) => collect(list(c, given, options));
}

/** How each operation of a case is called: by operationId, or by the names that the cases have beside those. */
export const operations = calls as Record<string, Operation>;
