// Does the jobs of the type image.shrink until it is told to end: TALLYGATE_URL and TALLYGATE_KEY say for which server.
import { Tallygate } from "tallygate";
import { FinalError, type Attempt, Worker } from "tallygate/worker";
import { setImmediate } from "node:timers/promises";
import { BadImage, decode, encode, type Image } from "./png.js";
import { shrink } from "./shrink.js";

interface Input {
	png: string;
	width: number;
}

interface Output {
	png: string;
	width: number;
	height: number;
}

const mostPixels = 64_000_000;

async function shrinkImage({ png, width }: Input, attempt: Attempt): Promise<Output> {
	const image = read(png);
	attempt.use("megapixel", Math.ceil((image.width * image.height) / 1_000_000));
	attempt.log(`from ${image.width} × ${image.height}`);
	if (width > image.width) {
		throw new FinalError(`the image has only ${image.width} pixels across`);
	}
	const work = shrink(image, width);
	let small: Image | undefined;
	while (!small) {
		// Heartbeats need a moment now and then, and a cancelled job need not be finished.
		await setImmediate();
		attempt.signal.throwIfAborted();
		const until = performance.now() + 20;
		while (!small && performance.now() < until) {
			const step = work.next();
			if (step.done) {
				small = step.value;
			} else {
				attempt.progress(step.value);
			}
		}
	}
	attempt.log(`to ${small.width} × ${small.height}`);
	return { png: encode(small).toString("base64"), width: small.width, height: small.height };
}

function read(png: string): Image {
	try {
		return decode(Buffer.from(png, "base64"), mostPixels);
	} catch (error) {
		if (error instanceof BadImage) {
			throw new FinalError(error.message, { cause: error }); // another attempt would find the same
		}
		throw error;
	}
}

const worker = new Worker(new Tallygate(), {
	handlers: { "image.shrink": shrinkImage },
	concurrency: 2,
	onError: (error, job) => console.error(job?.id ?? "worker", String(error)),
});
console.log("working; end me with SIGTERM or Ctrl-C");
await worker.run();
console.log("ended");
