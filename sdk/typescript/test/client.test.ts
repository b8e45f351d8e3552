import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { inspect } from "node:util";
import { type FetchInit, Tallygate, TallygateError, UnexpectedAnswerError, VERSION } from "tallygate";
import { root } from "./binary.js";

/** A client object whose requests are answered here. */
function played(answer: (url: string, init: FetchInit) => Response | Promise<Response>, options = {}): Tallygate {
	return new Tallygate({
		url: "http://server.test",
		key: "tg_live_secret",
		fetch: async (url, init) => answer(url, init),
		...options,
	});
}

test("an address that is none is refused, without what it may hold", () => {
	for (const url of [
		"",
		"jobs.example.com",
		"ftp://jobs.example.com",
		"http://h?x=1",
		"http://h#x",
		"localhost:8080",
	]) {
		assert.throws(() => new Tallygate({ url }), TallygateError, url);
	}
	assert.throws(
		() => new Tallygate({ url: "https://ann:hunter2@jobs.example.com" }),
		(error: Error) => error instanceof TallygateError && !inspect(error).includes("hunter2"),
	);
	assert.equal(new Tallygate({ url: "https://jobs.example.com/api/" }).url, "https://jobs.example.com/api");
});

test("a key that no header takes is refused, without the key", () => {
	for (const key of ["tg_live_secret\n", "tg live secret", "tg_live_sécret"]) {
		assert.throws(
			() => new Tallygate({ key }),
			(error: Error) => error instanceof TallygateError && !inspect(error).includes(key.trim()),
		);
	}
});

test("the environment says what the options do not", async () => {
	process.env.TALLYGATE_URL = "http://env.test/base";
	process.env.TALLYGATE_KEY = "tg_live_env";
	try {
		let asked: [string, FetchInit] | undefined;
		const client = new Tallygate({
			fetch: async (...given) => {
				asked = given;
				return new Response("{}");
			},
		});
		await client.account.get();
		assert.equal(asked?.[0], "http://env.test/base/v1/account");
		assert.equal(asked?.[1].headers.Authorization, "Bearer tg_live_env");
	} finally {
		delete process.env.TALLYGATE_URL;
		delete process.env.TALLYGATE_KEY;
	}
});

test("the key is in no printed form of the client object", () => {
	const client = played(() => new Response("{}"));
	for (const text of [inspect(client, { depth: 9, showHidden: true }), JSON.stringify(client), String(client)]) {
		assert.ok(!text.includes("secret"), text);
	}
	assert.equal(inspect(client), "Tallygate { url: 'http://server.test' }");
});

test("requests say what makes them, in the package's version", async () => {
	let userAgent: string | undefined;
	await played((_, init) => {
		userAgent = init.headers["User-Agent"];
		return new Response("{}");
	}).health();
	const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
	assert.equal(VERSION, version);
	assert.equal(userAgent, `tallygate-typescript/${version}`);
});

test("a redirect that a browser hides is an unexpected answer", async () => {
	const hidden = { status: 0, type: "opaqueredirect", headers: new Headers(), body: null, text: async () => "" };
	const client = played(() => hidden as unknown as Response);
	await assert.rejects(client.health(), (error: UnexpectedAnswerError) => {
		assert.ok(error instanceof UnexpectedAnswerError);
		assert.equal(error.attempts, 1);
		return true;
	});
});

test("an id is one segment of a path, whatever it holds", async () => {
	const asked: string[] = [];
	const client = played((url) => {
		asked.push(url);
		return new Response("{}");
	});
	await client.jobs.get("../account?x=1#y");
	assert.deepEqual(asked, ["http://server.test/v1/jobs/..%2Faccount%3Fx%3D1%23y"]);
	for (const id of ["", ".", "..", undefined as unknown as string]) {
		await assert.rejects(client.jobs.cancel(id), TypeError);
	}
});

test("a caller that does not wait for an answer is not held up by a fetch that does not heed its signal", async () => {
	const client = played(() => new Promise<Response>(() => {}));
	await assert.rejects(client.health({ signal: AbortSignal.abort(new Error("enough")) }), /enough/);
	const later = new AbortController();
	const call = client.health({ signal: later.signal });
	later.abort(new Error("enough"));
	await assert.rejects(call, /enough/);
	await assert.rejects(client.health({ timeout: 1, maxAttempts: 1 }), { name: "TimeoutError", attempts: 1 });
});

test("what a hook throws goes to the caller, and is not taken for the network's", async () => {
	let asked = 0;
	const answer = () => {
		asked++;
		return new Response("{}");
	};
	const hook = () => {
		throw new Error("the hook is broken");
	};
	await assert.rejects(played(answer, { onRequest: hook }).health(), /^Error: the hook is broken$/);
	await assert.rejects(played(answer, { onAnswer: hook }).health(), /^Error: the hook is broken$/);
	assert.equal(asked, 1);
});

test("an idempotency key that no header takes is refused", async () => {
	const client = played(() => new Response("{}"));
	for (const idempotencyKey of ["", "two words", "line\nbreak", "ключ", "x".repeat(256)]) {
		await assert.rejects(client.jobs.cancel("job_1", { idempotencyKey }), TallygateError);
	}
});

test("no event is told after an abort", async () => {
	const stream = 'data: {"kind": "job.queued"}\n\ndata: {"kind": "job.running"}\n\n';
	const client = played(() => new Response(stream, { headers: { "Content-Type": "text/event-stream" } }));
	const reading = new AbortController();
	const told: string[] = [];
	await assert.rejects(async () => {
		for await (const event of client.jobs.events("job_1", { signal: reading.signal })) {
			told.push(event.kind);
			reading.abort(new Error("enough"));
		}
	}, /enough/);
	assert.deepEqual(told, ["job.queued"]);
});

test("a job's events may be left before its end", async () => {
	let cancelled = false;
	const client = played(() => {
		const body = new ReadableStream<Uint8Array>({
			start: (controller) => controller.enqueue(new TextEncoder().encode('data: {"kind": "job.queued"}\n\n')),
			cancel: () => {
				cancelled = true;
			},
		});
		return new Response(body, { headers: { "Content-Type": "text/event-stream; charset=utf-8" } });
	});
	for await (const event of client.jobs.events("job_1")) {
		assert.equal(event.kind, "job.queued");
		break;
	}
	assert.ok(cancelled);
});
