import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type ClientOptions, Tallygate } from "tallygate";
import { binary } from "./binary.js";

/** A real server on SQLite, in a folder and at a port of its own. */
export class Server {
	readonly #folder: string;
	readonly #process: ChildProcess;
	readonly url: string;
	readonly operatorKey: string;

	private constructor(folder: string, process: ChildProcess, url: string, operatorKey: string) {
		this.#folder = folder;
		this.#process = process;
		this.url = url;
		this.operatorKey = operatorKey;
	}

	static async start(...settings: string[]): Promise<Server> {
		const folder = mkdtempSync(join(tmpdir(), "tallygate-"));
		const database = join(folder, "tallygate.db");
		const made = execFileSync(binary, ["init", "--database", database, "--json"], { encoding: "utf8" });
		const { operator_key } = JSON.parse(made) as { operator_key: string };
		const child = spawn(binary, ["serve", "--listen", "127.0.0.1:0", "--database", database, ...settings], {
			stdio: ["ignore", "pipe", "ignore"],
		});
		for await (const line of createInterface({ input: child.stdout })) {
			const found = /listening on (http:\S+)/.exec(line);
			if (found) {
				return new Server(folder, child, found[1] as string, operator_key);
			}
		}
		throw new Error("the server ended before it listened");
	}

	/** A client object of the operator. */
	operator(options: ClientOptions = {}): Tallygate {
		return new Tallygate({ url: this.url, key: this.operatorKey, ...options });
	}

	/** Makes a client with money and a key, and returns its client object. */
	async customer(options: ClientOptions = {}): Promise<Tallygate> {
		return new Tallygate({ url: this.url, key: await this.customerKey(), ...options });
	}

	async customerKey(): Promise<string> {
		const operator = this.operator();
		const client = await operator.clients.create({
			name: "Acme",
			limits: { requests_per_second: 10_000, burst: 10_000 },
		});
		await operator.clients.credit(client.id, { amount: "100.00", note: "first" });
		const created = await operator.clients.apiKeys.create(client.id, { permissions: ["preset:full"] });
		return created.key as string;
	}

	async stop(): Promise<void> {
		this.#process.kill("SIGKILL");
		if (this.#process.exitCode === null && this.#process.signalCode === null) {
			await once(this.#process, "exit");
		}
		rmSync(this.#folder, { recursive: true, force: true });
	}
}
