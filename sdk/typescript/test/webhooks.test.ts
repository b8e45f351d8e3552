import assert from "node:assert/strict";
import { test } from "node:test";
import { Webhook } from "standardwebhooks";
import { InvalidWebhookError, webhooks } from "tallygate";

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const payload = '{"text": "grüße"}';
const at = new Date(1_767_225_600_000);
const now = at.getTime();

/** Signs as the library of Standard Webhooks does. */
function signed(text = payload, by = secret): Record<string, string> {
	return {
		"webhook-id": "msg_1",
		"webhook-timestamp": String(now / 1000),
		"webhook-signature": new Webhook(by).sign("msg_1", at, text),
	};
}

test("what the library signs is verified, from whatever hands the headers over", async () => {
	const headers = signed();
	const shouted = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value]));
	const lists = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]));
	const forms: webhooks.HeadersLike[] = [headers, shouted, lists, new Headers(headers), Object.entries(headers)];
	forms.push(new Map(Object.entries(headers)));
	for (const form of forms) {
		await webhooks.verify(payload, form, secret, { now });
	}
	await webhooks.verify(new TextEncoder().encode(payload), headers, secret, { now });
	await webhooks.verify(Buffer.from(payload), headers, ["whsec_YW5vdGhlcg==", secret], { now });
});

test("what anybody else signs is not", async () => {
	const refused = async (text: string, headers: Record<string, string>, by: string | string[] = secret, time = now) =>
		assert.rejects(webhooks.verify(text, headers, by, { now: time }), InvalidWebhookError);
	await refused(`${payload} `, signed());
	await refused(payload, signed(payload, "whsec_YW5vdGhlciBzZWNyZXQ="));
	await refused(payload, signed(), []);
	await refused(payload, signed(), [secret, ""]);
	await refused(payload, { ...signed(), "webhook-id": "msg_2" });
	await refused(payload, { ...signed(), "webhook-timestamp": "1e9" });
	await refused(payload, signed(), secret, now + 301_000);
	await refused(payload, signed(), secret, now - 301_000);
	await webhooks.verify(payload, signed(), secret, { now: now + 301_000, tolerance: "6m" });
});
