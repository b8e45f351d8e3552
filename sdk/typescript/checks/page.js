// The script of a page: what came of it goes back to where the page came from.
import { job } from "./job.js";

const given = Object.fromEntries(new URLSearchParams(location.search));
const said = await job(given).catch((error) => `failed: ${error.stack}`);
await fetch("/said", { method: "POST", body: said });
