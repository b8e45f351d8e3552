// Runs the samples one after the other and prints a line of JSON about each.
import { readFileSync } from "node:fs";
import { format } from "node:util";

for (const { operation, key } of JSON.parse(readFileSync("samples.json", "utf8"))) {
  process.env.TALLYGATE_KEY = key;
  let output = "";
  let error = "";
  console.log = (...values) => (output += `${format(...values)}\n`);
  try {
    await import(`./${operation}.mjs`);
  } catch (e) {
    error = e.stack;
  }
  process.stdout.write(`${JSON.stringify({ operation, error, output })}\n`);
}
