// Node alone: through a proxy, and to a server whose certificate an authority of one's own has signed.
import { ConnectionError, Tallygate } from "tallygate";
import { Agent, fetch, ProxyAgent } from "undici";

const [kind, url, given] = process.argv.slice(2);
const dispatchers = {
	proxy: () => new ProxyAgent({ uri: given }),
	authority: () => new Agent({ connect: { ca: given } }),
};
const dispatcher = dispatchers[kind]?.();
const client = new Tallygate({
	url,
	...(dispatcher ? { fetch: (url, init) => fetch(url, { ...init, dispatcher }) } : {}),
	onRetry: () => console.log("tried again"),
});
try {
	console.log((await client.health()).status);
} catch (error) {
	console.log(error instanceof ConnectionError, error.attempts, error.message);
}
await dispatcher?.close();
