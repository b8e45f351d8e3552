// A worker process for a test: it says on its standard output what happens, a line each.
import { Tallygate } from "tallygate";
import { type Task, Worker } from "tallygate/worker";

const told = new Promise<void>((resolve) => process.once("SIGTERM", resolve));

const worker = new Worker(new Tallygate(), {
	concurrency: 2,
	drainTimeout: "300ms",
	handlers: {
		// Ends soon after the process is told to end.
		"drain.short": async (_: unknown, task: Task) => {
			console.log(`begun ${task.job.id}`);
			await told;
			return "done";
		},
		// Never ends by itself.
		"drain.long": (_: unknown, task: Task) =>
			new Promise((_, reject) => {
				console.log(`begun ${task.job.id}`);
				task.signal.addEventListener("abort", () => {
					console.log(`aborted ${(task.signal.reason as Error).name}`);
					reject(task.signal.reason);
				});
			}),
	},
});
await worker.run();
console.log("ended");
