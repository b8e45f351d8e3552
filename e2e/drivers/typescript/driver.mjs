// Does for the tests of the SDKs what they ask for, with the TypeScript SDK: see sdk_faults_test.go.
import { Tallygate } from "../../../sdk/typescript/dist/index.js";
import { Worker } from "../../../sdk/typescript/dist/worker.js";

const callers = 16;

/** A client that goes on as long as a storm may last. */
const patient = () => new Tallygate({ maxAttempts: 25, deadline: "5m", retryBudget: 1_000_000 });

async function submit(count) {
	const client = patient();
	let next = 0;
	async function caller() {
		while (next < count) {
			const job = await client.jobs.submit({ type: "text.stats", input: { number: next++ } });
			console.log(job.id);
		}
	}
	await Promise.all(Array.from({ length: callers }, caller));
}

async function herd(count) {
	const one = (_, n) =>
		new Tallygate({ key: `tg_live_${n}`, onRetry: ({ wait }) => console.log(wait / 1000) }).account.get();
	await Promise.all(Array.from({ length: count }, one));
}

async function work() {
	function count(_input, attempt) {
		attempt.use("page", 1);
		return { words: 2 };
	}
	await new Worker(patient(), { handlers: { "text.stats": count }, concurrency: 10 }).run();
}

const [what, count] = process.argv.slice(2);
const things = { submit, herd, work };
if (!things[what]) throw new Error(`no such thing to do: ${what}`);
await things[what](Number(count));
