// Makes an image smaller: node dist/submit.js FROM.png WIDTH TO.png
import { readFileSync, writeFileSync } from "node:fs";
import { APIError, Tallygate } from "tallygate";

const [from, width, to] = process.argv.slice(2);
if (!from || !width || !to) {
	console.error("usage: submit FROM.png WIDTH TO.png");
	process.exit(2);
}
try {
	const result = await new Tallygate().run<{ png: string; width: number; height: number }>(
		"image.shrink",
		{ png: readFileSync(from, "base64"), width: Number(width) },
		{
			timeout: "2m",
			cancelOnTimeout: true,
			onProgress: (progress) => console.error(`${Math.round(progress * 100)} %`),
			onLog: (line) => console.error(line),
		},
	);
	writeFileSync(to, result.png, "base64");
	console.log(`${to}: ${result.width} × ${result.height}`);
} catch (error) {
	if (!(error instanceof APIError)) {
		throw error;
	}
	console.error(`${error.code}: ${error.message}`);
	process.exit(1);
}
