import type { Caller, CallOptions } from "./call.js";
import { List } from "./list.js";
import type { Page } from "./types.js";

/** Writes an id or name as one segment of a path. */
export function segment(id: string): string {
	if (typeof id !== "string" || id === "" || id === "." || id === "..") {
		throw new TypeError(`an id or name is needed, not ${JSON.stringify(id)}`);
	}
	return encodeURIComponent(id);
}

/** Which part of a list is asked for. */
export interface ListOptions {
	/** Items of a page: 1 to 100, by default 20. */
	limit?: number | undefined;
	/** Where the first page begins. */
	cursor?: string | undefined;
}

/** Makes a list whose pages are calls of the operation. */
export function listCall<Item>(
	caller: Caller,
	operation: string,
	path: string,
	part: ListOptions,
	options: CallOptions,
	query: Record<string, string | number | undefined> = {},
): List<Item> {
	return new List<Item>(async (cursor = part.cursor) => {
		const call = { operation, method: "GET", path, query: { ...query, limit: part.limit, cursor } } as const;
		return (await caller.call<Page<Item>>(call, options)).value;
	});
}
