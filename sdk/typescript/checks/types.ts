// Compiled against the packed declarations, never run: how the types are used, and what they refuse.
import {
	APIError,
	type Client,
	type ClientOptions,
	type Fetch,
	type Job,
	type List,
	type Page,
	RateLimitExceededError,
	type Submission,
	Tallygate,
	WaitTimeoutError,
	webhooks,
} from "tallygate";
import { type Attempt, FinalError, type Handler, RetryLater, Worker } from "tallygate/worker";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const sure = <_ extends true>() => {};

const fetching: Fetch = (url, init) => fetch(url, init);
const options: ClientOptions = {
	url: "https://jobs.example.com",
	key: "tg_live_…",
	timeout: 5000,
	deadline: null,
	fetch: fetching,
	logger: console,
};
const client = new Tallygate(options);

export async function use(signal: AbortSignal): Promise<void> {
	const stats = await client.run<{ words: number }>("text.stats", { text: "a b" }, { timeout: "1m", signal });
	sure<Same<typeof stats, { words: number }>>();
	const submission: Submission = { type: "text.stats", input: {}, priority: 5 };
	const job = await client.jobs.submit<string>(submission, { wait: "10s", idempotencyKey: "k" });
	sure<Same<typeof job, Job<string>>>();
	sure<Same<typeof job.result, string | null>>();
	sure<Same<typeof job.status, "queued" | "running" | "succeeded" | "failed" | "cancelled">>();
	const list: List<Job> = client.jobs.list({ createdAfter: new Date(), metadata: { order: "17" } });
	for await (const one of list) {
		sure<Same<typeof one, Job>>();
	}
	const page: Page<Client> = await client.clients.list({ limit: 10 }).page();
	sure<Same<typeof page.next_cursor, string | null>>();
	for await (const event of client.jobs.events(job.id)) {
		sure<Same<typeof event.lastEventId, string>>();
	}
	await client.jobTypes.define("t", { executor: { kind: "http", url: "http://127.0.0.1/", secret: null } });
	await webhooks.verify(new Uint8Array(), new Headers(), ["old", "new"]);
	await webhooks.verify("{}", { "webhook-id": ["a", "b"], host: undefined }, "secret", { tolerance: "1m" });

	// @ts-expect-error a job has a type
	await client.jobs.submit({ input: {} });
	// @ts-expect-error money is no number
	await client.clients.credit("cl_…", { amount: 25 });
	// @ts-expect-error an upstream has a URL
	await client.jobTypes.define("t", { executor: { kind: "http" } });
	// @ts-expect-error no such status
	client.jobs.list({ status: "done" });
	// @ts-expect-error what is not exported is not to be built
	new client.jobs.constructor();
}

export function explain(error: unknown): string {
	if (error instanceof RateLimitExceededError) {
		return `wait ${error.retryAfter ?? 0} s`;
	}
	if (error instanceof APIError) {
		sure<Same<typeof error.status, number>>();
		return `${error.code} ${error.requestId} ${error.headers["x-request-id"]} ${error.body.length}`;
	}
	return error instanceof WaitTimeoutError ? error.job.id : String(error);
}

const handler: Handler = async (input: { text: string }, attempt: Attempt) => {
	attempt.progress(0.5);
	attempt.log("half");
	attempt.use("page");
	if (attempt.signal.aborted) {
		throw new RetryLater("later", "5s");
	}
	throw new FinalError(input.text);
};

export const worker = new Worker(client, { handlers: { "text.stats": handler, plain: () => 1 }, concurrency: 4 });
