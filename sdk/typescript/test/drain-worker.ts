// A worker process for a test: it says on its standard output what happens, a line each.
import { Tallygate } from "tallygate";
import { type Attempt, Worker } from "tallygate/worker";

const told = new Promise<void>((resolve) => process.once("SIGTERM", resolve));

const worker = new Worker(new Tallygate(), {
	concurrency: 2,
	drainTimeout: "300ms",
	handlers: {
		// Ends soon after the process is told to end.
		"drain.short": async (_: unknown, attempt: Attempt) => {
			console.log(`begun ${attempt.job.id}`);
			await told;
			return "done";
		},
		// Never ends by itself.
		"drain.long": (_: unknown, attempt: Attempt) =>
			new Promise((_, reject) => {
				console.log(`begun ${attempt.job.id}`);
				attempt.signal.addEventListener("abort", () => {
					console.log(`aborted ${(attempt.signal.reason as Error).name}`);
					reject(attempt.signal.reason);
				});
			}),
	},
});
await worker.run();
console.log("ended");
