// The program of the runtimes that have processes.
import { job } from "./job.js";

const [url, operatorKey, key, name] = process.argv.slice(2);
console.log(await job({ url, operatorKey, key, name }));
