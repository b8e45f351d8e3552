// Compares the package with the API's description: every operation, every member of every shape.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as tallygate from "tallygate";
import { binary, root } from "./binary.js";
import { operations } from "./operations.js";

interface Schema {
	$ref?: string;
	type?: string | string[];
	enum?: unknown[];
	const?: unknown;
	anyOf?: Schema[];
	oneOf?: Schema[];
	properties?: Record<string, Schema>;
	required?: string[];
	items?: Schema;
	additionalProperties?: boolean | Schema;
}

interface Parameter {
	$ref?: string;
	name: string;
	in: string;
	style?: string;
}

interface Operation {
	operationId: string;
	parameters?: Parameter[];
	requestBody?: unknown;
}

interface Document {
	paths: Record<string, Record<string, Operation>>;
	components: { schemas: Record<string, Schema>; parameters: Record<string, Parameter> };
}

const document = JSON.parse(execFileSync(binary, ["openapi"], { encoding: "utf8", maxBuffer: 1 << 26 })) as Document;

const described = Object.entries(document.paths).flatMap(([path, item]) =>
	Object.entries(item)
		.filter(([, operation]) => operation.operationId)
		.map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
);

test("there is a method for each operation and none beside them", () => {
	const beside = ["wait", "run", "events", "verify"];
	const have = Object.keys(operations).filter((name) => !name.startsWith("all:") && !beside.includes(name));
	assert.deepEqual(have.sort(), described.map(({ operation }) => operation.operationId).sort());
});

for (const { path, method, operation } of described) {
	test(`${operation.operationId} asks as the description says`, async () => {
		const parameters = (operation.parameters ?? []).map(
			(one) => document.components.parameters[one.$ref?.split("/").pop() ?? ""] ?? one,
		);
		const given: Record<string, unknown> = { body: {} };
		const query = new URLSearchParams();
		let target = path;
		for (const one of parameters) {
			if (one.in === "path") {
				const value = `${one.name}_1`;
				target = target.replace(`{${one.name}}`, value);
				given[one.name] = value;
				given.id = value;
			} else if (one.in === "query" && one.style === "deepObject") {
				given[one.name] = { order: "17" };
				query.set(`${one.name}[order]`, "17");
			} else if (one.in === "query") {
				const value = one.name === "limit" ? 7 : one.name === "wait" ? "9s" : `${one.name}-1`;
				given[one.name] = value;
				query.set(one.name, String(value));
			}
		}
		const asked: { url: URL; method: string; headers: Headers; body: string | undefined }[] = [];
		const client = new tallygate.Tallygate({
			url: "http://server.test",
			key: "tg_live_case",
			maxAttempts: 1,
			fetch: async (url, init) => {
				asked.push({ url: new URL(url), method: init.method, headers: new Headers(init.headers), body: init.body });
				return operation.operationId === "streamJobEvents"
					? new Response('data: {"status": "succeeded"}\n\n', { headers: { "Content-Type": "text/event-stream" } })
					: new Response("{}");
			},
		});
		await operations[operation.operationId]?.(client, given, {});
		const [request] = asked;
		assert.equal(asked.length, 1);
		assert.equal(request?.method, method);
		assert.equal(request.url.pathname, target);
		assert.deepEqual([...request.url.searchParams].sort(), [...query].sort());
		const takesKey = parameters.some((one) => one.in === "header" && one.name === "Idempotency-Key");
		assert.equal(request.headers.has("Idempotency-Key"), takesKey);
		if (!operation.requestBody) {
			assert.equal(request.body, undefined);
		}
	});
}

test("there is a class for each code and none beside them", () => {
	const codes = (document.components.schemas.ErrorCode?.enum ?? []) as string[];
	assert.equal(codes.length, 22);
	const classes = Object.entries(tallygate)
		.filter(([, value]) => typeof value === "function" && value.prototype instanceof tallygate.APIError)
		.map(([name]) => name);
	const names = codes.map(
		(code) =>
			`${code
				.replace(/_ERROR$/, "")
				.toLowerCase()
				.replace(/(^|_)(.)/g, (_, __, c: string) => c.toUpperCase())}Error`,
	);
	assert.deepEqual(classes.sort(), names.sort());
});

/** What a shape is called here, where not as in the description. */
const renamed: Record<string, string> = {
	JobSubmission: "Submission",
	JobBatch: "{ jobs: sdk.Submission[] }",
	JobBatchAccepted: "JobBatch",
	JobList: "Page<sdk.Job>",
	JobTypeList: "Page<sdk.JobType>",
	ClientList: "Page<sdk.Client>",
	EntryList: "Page<sdk.Entry>",
	ApiKeyList: "Page<sdk.ApiKey>",
	AuditRecordList: "Page<sdk.AuditRecord>",
	Duration: "Span",
	ErrorDetail: "{ code: string; message: string }",
	Error: "{ error: { code: string; message: string } }",
	ApiKeyRotation: "{ overlap?: sdk.Span | null }",
	Metadata: "Record<string, unknown>",
	Units: "Record<string, number>",
	Input: "unknown",
	Result: "unknown",
	NextCursor: "string | null",
};

/** Texts that the package does not name. */
const texts = ["JobId", "ClientId", "ApiKeyId", "EntryId", "EventId", "Day", "Currency", "IdempotencyKey"];
texts.push("JobTypeName", "ClientName", "LeaseToken", "ReportedJobId");

/** Sets that may grow: any text is taken. */
const open = ["ErrorCode", "JobError.code", "JobEvent.kind"];

/** Shapes that the package does not have. */
const without = ["Nothing"];

test("each shape has exactly the members that the description says", () => {
	const names = Object.keys(document.components.schemas).filter((name) => !without.includes(name));
	const lines = [
		'import type * as sdk from "tallygate";',
		"type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;",
		"interface Described {",
		...names.map((name) => `\t${name}: ${typeOf(document.components.schemas[name] as Schema, name)};`),
		"}",
		...names.map((name) => {
			const own = texts.includes(name) || name === "ErrorCode" ? "string" : (renamed[name] ?? name);
			const type = /^[A-Z]/.test(own) && !own.startsWith("Record") ? `sdk.${own}` : own;
			return `export const ${name}: Same<${type}, Described["${name}"]> = true;`;
		}),
	];
	const folder = join(root, "build", "described");
	mkdirSync(folder, { recursive: true });
	writeFileSync(join(folder, "described.ts"), `${lines.join("\n")}\n`);
	writeFileSync(
		join(folder, "tsconfig.json"),
		JSON.stringify({
			extends: "../../tsconfig.json",
			compilerOptions: { noEmit: true, rootDir: "." },
			files: ["described.ts"],
			include: [],
		}),
	);
	const compiler = join(root, "node_modules", ".bin", "tsc");
	try {
		execFileSync(compiler, ["-p", folder], { encoding: "utf8" });
	} catch (error) {
		assert.fail((error as { stdout: string }).stdout);
	}
});

/** Writes a schema as a type. */
function typeOf(schema: Schema, at: string): string {
	if (open.includes(at)) {
		return "string";
	}
	if (schema.$ref) {
		return `Described["${schema.$ref.split("/").pop()}"]`;
	}
	const either = schema.anyOf ?? schema.oneOf;
	if (either) {
		return either.map((one) => typeOf(one, at)).join(" | ");
	}
	if (schema.const !== undefined) {
		return JSON.stringify(schema.const);
	}
	if (schema.enum) {
		return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
	}
	if (schema.type === undefined) {
		return "unknown";
	}
	return [schema.type]
		.flat()
		.map((type) => plainType(type, schema, at))
		.join(" | ");
}

function plainType(type: string, schema: Schema, at: string): string {
	switch (type) {
		case "integer":
		case "number":
			return "number";
		case "array":
			return `(${typeOf(schema.items as Schema, at)})[]`;
		case "object": {
			if (typeof schema.additionalProperties === "object") {
				return `Record<string, ${typeOf(schema.additionalProperties, at)}>`;
			}
			if (!schema.properties) {
				return "Record<string, unknown>";
			}
			const members = Object.entries(schema.properties).map(([name, member]) => {
				const optional = schema.required?.includes(name) ? "" : "?";
				return `${JSON.stringify(name)}${optional}: ${typeOf(member, `${at}.${name}`)}`;
			});
			return `{ ${members.join("; ")} }`;
		}
	}
	return type; // string, boolean, null
}
