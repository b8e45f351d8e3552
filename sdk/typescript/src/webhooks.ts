import { type Duration, milliseconds } from "./duration.js";
import { InvalidWebhookError } from "./errors.js";

/** Headers in whatever form a framework hands them over: `Headers`, Node's `request.headers`, a record, pairs. */
export type HeadersLike =
	| { get(name: string): string | null }
	| Iterable<readonly [string, string]>
	| { readonly [name: string]: string | readonly string[] | undefined };

export interface VerifyOptions {
	/** How far the call's time may be from now, in the past or the future; by default 5 minutes. */
	tolerance?: Duration;
	/** Milliseconds since 1970; for tests. */
	now?: number;
}

/**
 * Checks that a call comes from who holds the secret, and is fresh, by Standard Webhooks 1.0
 * (https://www.standardwebhooks.com): this is how the server signs its calls to an upstream. Throws an
 * InvalidWebhookError where it does not. The payload is the body as it came, byte for byte; several secrets are given
 * while one is changed for another.
 */
export async function verify(
	payload: string | Uint8Array,
	headers: HeadersLike,
	secret: string | readonly string[],
	options: VerifyOptions = {},
): Promise<void> {
	const secrets = typeof secret === "string" ? [secret] : secret;
	if (secrets.length === 0 || secrets.includes("")) {
		throw new InvalidWebhookError("no secret is given: nothing can be verified");
	}
	const id = headerOf(headers, "webhook-id");
	const timestamp = headerOf(headers, "webhook-timestamp");
	const signatures = headerOf(headers, "webhook-signature");
	if (!id || !timestamp || !signatures) {
		throw new InvalidWebhookError("the headers webhook-id, webhook-timestamp and webhook-signature are required");
	}
	const at = /^[0-9]{1,12}$/.test(timestamp) ? Number(timestamp) * 1000 : Number.NaN;
	if (Number.isNaN(at)) {
		throw new InvalidWebhookError("webhook-timestamp must be Unix seconds");
	}
	const apart = (options.now ?? Date.now()) - at;
	const tolerance = milliseconds(options.tolerance ?? "5m");
	if (apart > tolerance) {
		throw new InvalidWebhookError("the webhook is too old: it may have been recorded and sent again");
	}
	if (apart < -tolerance) {
		throw new InvalidWebhookError("the webhook comes from the future: compare the clocks");
	}

	const body = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
	const head = new TextEncoder().encode(`${id}.${timestamp}.`);
	const signed = new Uint8Array(head.length + body.length);
	signed.set(head);
	signed.set(body, head.length);
	if (!(await signedBy(secrets, signed, signatures))) {
		throw new InvalidWebhookError(
			"no signature of the webhook is right: compare the secrets, and verify the body as it came",
		);
	}
}

/** Reports whether one of the signatures, such as "v1,BASE64 v1,BASE64", was made with one of the secrets. */
async function signedBy(
	secrets: readonly string[],
	signed: Uint8Array<ArrayBuffer>,
	signatures: string,
): Promise<boolean> {
	const given = signatures.split(" ").flatMap((one) => {
		const bytes = one.startsWith("v1,") ? base64(one.slice("v1,".length)) : undefined;
		return bytes ? [bytes] : [];
	});
	for (const secret of secrets) {
		const key = await crypto.subtle.importKey("raw", signingKey(secret), { name: "HMAC", hash: "SHA-256" }, false, [
			"verify",
		]);
		for (const signature of given) {
			if (await crypto.subtle.verify("HMAC", key, signature, signed)) {
				return true;
			}
		}
	}
	return false;
}

/** Reads the form whsec_BASE64; any other secret is the key as it stands. */
function signingKey(secret: string): Uint8Array<ArrayBuffer> {
	const key = secret.startsWith("whsec_") ? base64(secret.slice("whsec_".length)) : undefined;
	return key?.length ? key : new TextEncoder().encode(secret);
}

/** Decodes standard base64; undefined for what is none. */
function base64(text: string): Uint8Array<ArrayBuffer> | undefined {
	if (!/^[A-Za-z0-9+/]*={0,2}$/.test(text) || text.length % 4 !== 0) {
		return undefined;
	}
	return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

function headerOf(headers: HeadersLike, name: string): string | undefined {
	if ("get" in headers && typeof headers.get === "function") {
		return headers.get(name) ?? undefined;
	}
	const pairs = Symbol.iterator in headers ? (headers as Iterable<readonly [string, string]>) : Object.entries(headers);
	for (const [key, value] of pairs) {
		if (key.toLowerCase() === name) {
			return typeof value === "string" ? value : value?.[0];
		}
	}
	return undefined;
}
