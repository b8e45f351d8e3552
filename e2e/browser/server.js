// A server of the built binary on a fresh database, which ends with this process.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const binary = process.env.TALLYGATE_BINARY ?? new URL("../../bin/tallygate", import.meta.url).pathname;

export async function startServer() {
  const folder = mkdtempSync(join(tmpdir(), "tallygate-browser-"));
  const database = join(folder, "tallygate.db");
  const { operator_key: operatorKey } = JSON.parse(execFileSync(binary, ["init", "--database", database, "--json"], { encoding: "utf8" }));
  const child = spawn(binary, ["serve", "--listen", "127.0.0.1:0", "--database", database], { stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  child.stderr.on("data", (piece) => (log += piece));
  const kill = () => child.kill("SIGKILL");
  process.on("exit", kill);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: child.stdout }).once("line", (line) => resolve(line.split(" ").at(-1)));
    ended.then((code) => reject(new Error(`the server ended with ${code}: ${log}`)));
  });
  return {
    url,
    operatorKey,
    log: () => log,
    async stop() {
      child.kill("SIGTERM");
      await ended;
      process.off("exit", kill);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
