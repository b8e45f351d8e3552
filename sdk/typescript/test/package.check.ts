// Packs the package, installs it where nothing else is, and uses it there: types, runtimes, a browser, a bundler.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
	copyFileSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from "node:fs";
import { createServer, type Server as HttpServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { root } from "./binary.js";
import { Server } from "./server.js";

const checks = join(root, "checks");
const tools = join(checks, "node_modules", ".bin");
const app = mkdtempSync(join(tmpdir(), "tallygate-app-"));
let server: Server;
let page: { origin: string; said: Promise<string>; close(): void };

before(async () => {
	const [packed] = JSON.parse(run("npm", ["pack", "--silent", "--json", "--pack-destination", app], root)) as Packed[];
	const files = packed?.files.map(({ path }) => path).sort() ?? [];
	const sources = readdirSync(join(root, "src")).map((name) => name.replace(/\.ts$/, ""));
	assert.deepEqual(
		files,
		[
			"LICENSE",
			"README.md",
			"package.json",
			...sources.flatMap((name) => [`dist/${name}.d.ts`, `dist/${name}.js`]),
		].sort(),
	);
	writeFileSync(join(app, "package.json"), JSON.stringify({ private: true, type: "module" }));
	run("npm", ["install", "--offline", "--no-audit", "--no-fund", join(app, packed?.filename as string)], app);
	const installed = readdirSync(join(app, "node_modules")).filter((name) => !name.startsWith("."));
	assert.deepEqual(installed, ["tallygate"]);
	for (const file of ["job.js", "main.js", "page.js", "transport.js", "types.ts", "verify.js"]) {
		copyFileSync(join(checks, file), join(app, file));
	}
	symlinkSync(join(checks, "node_modules", "undici"), join(app, "node_modules", "undici"));
	page = await pageServer();
	server = await Server.start("--allowed-origins", page.origin);
});

after(async () => {
	await server?.stop();
	page?.close();
	rmSync(app, { recursive: true, force: true });
});

interface Packed {
	filename: string;
	files: { path: string }[];
}

function run(command: string, given: string[], cwd = app): string {
	return execFileSync(command, given, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}

const runtimes: Record<string, [string, ...string[]]> = {
	node: [process.execPath],
	deno: [
		join(tools, "deno"),
		"run",
		"--no-prompt",
		"--allow-net=127.0.0.1",
		"--allow-env=TALLYGATE_URL,TALLYGATE_KEY,HOSTNAME",
	],
	bun: [join(tools, "bun"), "run"],
};

for (const [name, [command, ...given]] of Object.entries(runtimes)) {
	test(`a job is done under ${name}`, async () => {
		const key = await server.customerKey();
		const said = await output(command, [...given, "main.js", server.url, server.operatorKey, key, name]);
		assert.match(said, /^tallygate [0-9.]+ did a job$/m);
	});
}

/** Runs a program without standing still: the server of the pages is in this process. */
async function output(command: string, given: string[]): Promise<string> {
	const child = spawn(command, given, { cwd: app, stdio: ["ignore", "pipe", "inherit"] });
	let said = "";
	child.stdout.setEncoding("utf8").on("data", (piece) => {
		said += piece;
	});
	const [code] = await once(child, "close");
	assert.equal(code, 0, said);
	return said;
}

test("a job is done in Chromium, from a page of another origin", async () => {
	run(join(tools, "esbuild"), [
		"page.js",
		"--bundle",
		"--format=esm",
		"--outfile=page.bundle.js",
		"--log-level=warning",
	]);
	const query = new URLSearchParams({
		url: server.url,
		operatorKey: server.operatorKey,
		key: await server.customerKey(),
		name: "chromium",
	});
	const browser = spawn(
		"chromium",
		[
			"--headless",
			"--no-sandbox",
			"--disable-gpu",
			"--disable-dev-shm-usage",
			"--no-first-run",
			`--user-data-dir=${join(app, "profile")}`,
			`${page.origin}/?${query}`,
		],
		{ stdio: "ignore" },
	);
	const gone = once(browser, "exit");
	const said = await Promise.race([page.said, gone.then(() => "the browser ended")]);
	browser.kill("SIGKILL");
	await gone;
	assert.match(said, /^tallygate [0-9.]+ did a job$/);
});

/** Serves the page, its script, and takes what it says. */
async function pageServer(): Promise<typeof page> {
	let say: (text: string) => void;
	const said = new Promise<string>((resolve) => {
		say = resolve;
	});
	const serving = createServer(async (request, response) => {
		const path = new URL(request.url as string, "http://page.test").pathname;
		if (path === "/said") {
			let text = "";
			for await (const piece of request) {
				text += piece;
			}
			response.end();
			say(text);
		} else if (path === "/page.bundle.js") {
			response.setHeader("Content-Type", "text/javascript").end(readFileSync(join(app, "page.bundle.js")));
		} else {
			response.setHeader("Content-Type", "text/html").end('<script type="module" src="page.bundle.js"></script>');
		}
	});
	return {
		origin: `http://${await listening(serving)}`,
		said,
		close: () => {
			serving.close();
			serving.closeAllConnections();
		},
	};
}

test("calls go through a proxy where fetch does", async () => {
	const reached: string[] = [];
	const proxy = createServer();
	proxy.on("connect", (request, socket: Socket) => {
		reached.push(request.url as string);
		const { hostname, port } = new URL(`http://${request.url}`);
		const onward = connect(Number(port), hostname, () => {
			socket.write("HTTP/1.1 200 Connection established\r\n\r\n");
			onward.pipe(socket).pipe(onward);
		});
	});
	const address = await listening(proxy);
	try {
		assert.equal(await output(process.execPath, ["transport.js", "proxy", server.url, `http://${address}`]), "ok\n");
		assert.deepEqual(reached, [server.url.replace("http://", "")]);
	} finally {
		proxy.close();
		proxy.closeAllConnections();
	}
});

test("a certificate that is not trusted is not tried again, and one's own authority is trusted", async () => {
	const names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
	const fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "key.pem"];
	execFileSync("openssl", ["req", "-x509", ...fresh, "-out", "cert.pem", "-days", "1", ...names], {
		cwd: app,
		stdio: "ignore",
	});
	const [key, cert] = [readFileSync(join(app, "key.pem")), readFileSync(join(app, "cert.pem"), "utf8")];
	const secure = createSecureServer({ key, cert }, (_, response) => response.end('{"status":"ok"}'));
	const url = `https://${await listening(secure)}`;
	try {
		assert.equal(await output(process.execPath, ["transport.js", "authority", url, cert]), "ok\n");
		for (const [name, [command, ...given]] of Object.entries(runtimes)) {
			const said = await output(command, [...given, "transport.js", "none", url]);
			assert.match(said, /^true 1 cannot reach https:.*certificate/i, name);
		}
	} finally {
		secure.close();
		secure.closeAllConnections();
	}
});

async function listening(listener: HttpServer): Promise<string> {
	listener.listen(0, "127.0.0.1");
	await once(listener, "listening");
	return `127.0.0.1:${(listener.address() as AddressInfo).port}`;
}

test("verifying webhooks alone leaves the client out of a bundle", () => {
	const given = ["--bundle", "--format=esm", "--minify", "--log-level=warning"];
	const verify = run(join(tools, "esbuild"), ["verify.js", ...given]);
	const whole = run(join(tools, "esbuild"), ["job.js", ...given]);
	assert.ok(!/\/v1\/|Idempotency-Key|Retry-After/i.test(verify), verify);
	assert.ok(verify.length < 3000, `${verify.length} bytes`);
	assert.ok(whole.length > 5 * verify.length && whole.length < 40_000, `${whole.length} bytes`);
	console.log(`bundled and minified: ${verify.length} bytes to verify webhooks, ${whole.length} for all`);
});

const compilers = { "this compiler": join(root, "node_modules", ".bin", "tsc"), "TypeScript 5.9": join(tools, "tsc") };
const platforms = {
	"Node's types and node16": { lib: ["ES2022"], types: ["node"], module: "node16", moduleResolution: "node16" },
	"the browser's types and bundler": {
		lib: ["ES2022", "DOM", "DOM.Iterable"],
		types: [],
		module: "esnext",
		moduleResolution: "bundler",
	},
};

for (const [compiler, command] of Object.entries(compilers)) {
	for (const [platform, options] of Object.entries(platforms)) {
		test(`the declarations are good with ${compiler}, ${platform}`, () => {
			const folder = join(app, `types ${compiler} ${platform}`.replace(/\W/g, "-"));
			mkdirSync(join(folder, "node_modules"), { recursive: true });
			symlinkSync(join(app, "node_modules", "tallygate"), join(folder, "node_modules", "tallygate"));
			for (const types of ["@types", "undici", "undici-types"]) {
				symlinkSync(join(checks, "node_modules", types), join(folder, "node_modules", types));
			}
			writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
			copyFileSync(join(app, "types.ts"), join(folder, "types.ts"));
			const files = ["types.ts"];
			if (platform.startsWith("Node")) {
				files.push(...readme(folder));
			}
			const compilerOptions = {
				...options,
				target: "ES2022",
				strict: true,
				exactOptionalPropertyTypes: true,
				skipLibCheck: false,
				noEmit: true,
				preserveSymlinks: true,
			};
			writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
			try {
				execFileSync(command, ["-p", folder], { encoding: "utf8" });
			} catch (error) {
				assert.fail((error as { stdout: string }).stdout);
			}
		});
	}
}

/** Writes the programs of README.md into a folder, and returns their names. */
function readme(folder: string): string[] {
	const text = readFileSync(join(root, "README.md"), "utf8");
	const programs = [...text.matchAll(/^```ts.*\n([\s\S]*?)^```$/gm)].map(([, program]) => program as string);
	assert.ok(programs.length > 5);
	return programs.map((program, n) => {
		writeFileSync(join(folder, `readme-${n}.ts`), program);
		return `readme-${n}.ts`;
	});
}
