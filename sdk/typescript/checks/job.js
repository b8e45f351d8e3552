// Uses the packed package as its user would: runs a job from submit to result, with the worker in the same program. It
// names nothing that only one runtime has.
import { InsufficientBalanceError, ProcessingFailedError, Tallygate, VERSION, webhooks } from "tallygate";
import { FinalError, Worker } from "tallygate/worker";

export async function job({ url, operatorKey, key, name }) {
	const operator = new Tallygate({ url, key: operatorKey });
	const client = new Tallygate({ url, key });
	const type = `check.${name}`;
	await operator.jobTypes.define(type, { price: { base: "0.01" }, lease: "1s" });
	const worker = new Worker(operator, {
		concurrency: 2,
		handlers: {
			[type]: async ({ text, bad }, attempt) => {
				if (bad) {
					throw new FinalError("bad text");
				}
				attempt.progress(0.5);
				attempt.log(`${text.length} characters`);
				return { upper: text.toUpperCase() };
			},
		},
	});
	const ran = worker.run();
	const told = [];
	const result = await client.run(type, { text: "grüße" }, { onLog: (line) => told.push(line) });
	expect(result.upper === "GRÜSSE", `the result is ${JSON.stringify(result)}`);
	expect(told.join() === "5 characters", `the log is ${told.join()}`);

	const failed = await raised(client.run(type, { text: "", bad: true }));
	expect(failed instanceof ProcessingFailedError && failed.message === "bad text", `raised ${failed}`);
	const dear = await raised(client.jobs.submit({ type, input: {}, max_cost: "0.00" }));
	expect(dear.code === "INVALID_PARAMETER" && dear.requestId, `raised ${dear}`);
	expect(!(dear instanceof InsufficientBalanceError), "each code has its class");

	const kinds = [];
	for await (const { id } of client.jobs.list({ type, status: "succeeded" })) {
		for await (const event of client.jobs.events(id)) {
			kinds.push(event.kind);
		}
	}
	expect(kinds[0] === "job.queued" && kinds.at(-1) === "job.succeeded", `the events are ${kinds}`);

	const waiting = new AbortController();
	const later = await client.jobs.submit({ type, input: {}, run_at: "2200-01-01T00:00:00Z" });
	const wait = raised(client.jobs.wait(later.id, { signal: waiting.signal }));
	waiting.abort(new Error("enough"));
	expect((await wait).message === "enough", "an abort ends the wait");
	await client.jobs.cancel(later.id);

	await worker.stop();
	await ran;

	const payload = '{"test": 2432232314}';
	const headers = {
		"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
		"webhook-timestamp": "1614265330",
		"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
	};
	const at = { now: 1614265330_000 };
	await webhooks.verify(payload, headers, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", at);
	await raised(webhooks.verify(payload, new Headers(headers), "whsec_AAAA", at));

	return `tallygate ${VERSION} did a job`;
}

function expect(holds, otherwise) {
	if (!holds) {
		throw new Error(otherwise);
	}
}

async function raised(promise) {
	try {
		await promise;
	} catch (error) {
		return error;
	}
	throw new Error("nothing was raised");
}
