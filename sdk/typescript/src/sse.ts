/** One server-sent event. */
export interface ServerSentEvent {
	/** The last id that the stream told: where to resume. */
	id: string;
	/** "message" where none is told. */
	name: string;
	data: string;
}

/** Parses a stream of events piece by piece: HTML Living Standard, section 9.2.6. */
export class EventParser {
	readonly #decoder = new TextDecoder();
	#rest = "";
	#afterReturn = false;
	#id: string;
	#name = "";
	#data: string[] = [];

	/** The id is the one after which the stream resumes. */
	constructor(id: string) {
		this.#id = id;
	}

	/** Takes the next piece and returns the events that are whole by now. An event that the end cuts off is none. */
	push(piece: Uint8Array): ServerSentEvent[] {
		const events: ServerSentEvent[] = [];
		let text = this.#decoder.decode(piece, { stream: true });
		if (text !== "" && this.#afterReturn) {
			this.#afterReturn = false;
			if (text[0] === "\n") {
				text = text.slice(1);
			}
		}
		const lines = (this.#rest + text).split(/\r\n|\n|\r/);
		this.#rest = lines.pop() as string;
		this.#afterReturn ||= text.endsWith("\r");
		for (const line of lines) {
			if (line === "") {
				this.#dispatch(events);
			} else {
				this.#field(line);
			}
		}
		return events;
	}

	#field(line: string): void {
		const colon = line.indexOf(":");
		const name = colon < 0 ? line : line.slice(0, colon);
		const value = colon < 0 ? "" : line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1);
		if (name === "event") {
			this.#name = value;
		} else if (name === "data") {
			this.#data.push(value);
		} else if (name === "id" && !value.includes("\0")) {
			this.#id = value;
		}
	}

	#dispatch(events: ServerSentEvent[]): void {
		if (this.#data.length > 0) {
			events.push({ id: this.#id, name: this.#name || "message", data: this.#data.join("\n") });
		}
		this.#name = "";
		this.#data = [];
	}
}
