import type { Page } from "./types.js";

/**
 * A list that is fetched as it is read: `for await (const job of client.jobs.list())` asks for page after page. Each
 * page is a call of its own, made when it is needed.
 */
export class List<Item> implements AsyncIterable<Item> {
	readonly #fetch: (cursor: string | undefined) => Promise<Page<Item>>;

	/** @internal */
	constructor(fetch: (cursor: string | undefined) => Promise<Page<Item>>) {
		this.#fetch = fetch;
	}

	/** Returns one page: the first, or the one at the cursor that another told as `next_cursor`. */
	page(cursor?: string): Promise<Page<Item>> {
		return this.#fetch(cursor);
	}

	/** Goes over the pages. */
	async *pages(): AsyncGenerator<Page<Item>, void, undefined> {
		let cursor: string | undefined;
		do {
			const page = await this.#fetch(cursor);
			yield page;
			cursor = page.next_cursor ?? undefined;
		} while (cursor !== undefined);
	}

	/** Goes over the items of all pages. */
	async *[Symbol.asyncIterator](): AsyncGenerator<Item, void, undefined> {
		for await (const page of this.pages()) {
			yield* page.data;
		}
	}

	/** Returns the items of all pages, or the first so many. */
	async toArray(most = Number.POSITIVE_INFINITY): Promise<Item[]> {
		const items: Item[] = [];
		if (most > 0) {
			for await (const item of this) {
				if (items.push(item) >= most) {
					break;
				}
			}
		}
		return items;
	}
}
