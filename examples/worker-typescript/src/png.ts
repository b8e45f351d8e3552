// Reads and writes PNG (https://www.w3.org/TR/png-3/), with zlib from Node and nothing else.
import { crc32 } from "./crc32.js";
import { deflateSync, inflateSync } from "node:zlib";

/** An image of 8 bits a channel: red, green, blue, alpha. */
export interface Image {
	width: number;
	height: number;
	pixels: Uint8Array;
}

const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** The samples of a pixel, by colour type. */
const samplesOf: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** What is wrong with an image. */
export class BadImage extends Error {}

/** Reads an image of at most so many pixels. Interlaced images are refused. */
export function decode(file: Uint8Array, mostPixels: number): Image {
	const png = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
	if (!png.subarray(0, 8).equals(signature)) {
		throw new BadImage("this is no PNG image");
	}
	let header: Buffer | undefined;
	let palette: Buffer = Buffer.alloc(0);
	let transparency: Buffer | undefined;
	const data: Buffer[] = [];
	for (let at = 8; at + 12 <= png.length; ) {
		const length = png.readUInt32BE(at);
		const name = png.toString("latin1", at + 4, at + 8);
		const end = at + 8 + length;
		if (end + 4 > png.length || png.readUInt32BE(end) !== crc32(png.subarray(at + 4, end))) {
			throw new BadImage(`the image is damaged in its part ${name}`);
		}
		const content = png.subarray(at + 8, end);
		if (name === "IHDR") {
			header = content;
		} else if (name === "PLTE") {
			palette = content;
		} else if (name === "tRNS") {
			transparency = content;
		} else if (name === "IDAT") {
			data.push(content);
		} else if (name === "IEND") {
			break;
		}
		at = end + 4;
	}
	if (header?.length !== 13 || data.length === 0) {
		throw new BadImage("the image is not whole");
	}
	const width = header.readUInt32BE(0);
	const height = header.readUInt32BE(4);
	const [depth = 0, colour = 0, , , interlaced] = header.subarray(8);
	const samples = samplesOf[colour];
	if (samples === undefined || ![1, 2, 4, 8, 16].includes(depth) || interlaced !== 0) {
		throw new BadImage("only images that are not interlaced are taken");
	}
	if (width === 0 || height === 0 || width * height > mostPixels) {
		throw new BadImage(`an image has 1 to ${mostPixels} pixels, this one ${width} × ${height}`);
	}
	const row = Math.ceil((width * samples * depth) / 8);
	const step = Math.max(1, (samples * depth) >> 3);
	let raw: Buffer;
	try {
		raw = inflateSync(Buffer.concat(data), { maxOutputLength: (row + 1) * height });
	} catch (cause) {
		throw new BadImage("the image's data is damaged", { cause });
	}
	if (raw.length !== (row + 1) * height) {
		throw new BadImage("the image's data is not whole");
	}
	const lines = unfilter(raw, row, height, step);

	const pixels = new Uint8Array(width * height * 4);
	for (let y = 0; y < height; y++) {
		for (let x = 0; x < width; x++) {
			const sample = (n: number) => sampleAt(lines, y * row, x * samples + n, depth);
			const full = (n: number) => (depth === 16 ? sample(n) >> 8 : (sample(n) * 255) / (2 ** depth - 1));
			const at = (y * width + x) * 4;
			let alpha = 255;
			if (colour === 3) {
				const index = sample(0);
				if (index * 3 + 2 >= palette.length) {
					throw new BadImage("the image uses a colour that its palette does not have");
				}
				pixels.set(palette.subarray(index * 3, index * 3 + 3), at);
				alpha = transparency?.[index] ?? 255;
			} else {
				const grey = colour === 0 || colour === 4;
				for (let n = 0; n < 3; n++) {
					pixels[at + n] = full(grey ? 0 : n);
				}
				if (colour === 4 || colour === 6) {
					alpha = full(samples - 1);
				} else if (transparency) {
					const see = (n: number) => transparency.length > n * 2 + 1 && transparency.readUInt16BE(n * 2) === sample(n);
					alpha = see(0) && (grey || (see(1) && see(2))) ? 0 : 255;
				}
			}
			pixels[at + 3] = alpha;
		}
	}
	return { width, height, pixels };
}

/** Takes the filters of the lines off: each byte was written less what its neighbours predict. */
function unfilter(raw: Buffer, row: number, height: number, step: number): Uint8Array {
	const lines = new Uint8Array(row * height);
	for (let y = 0; y < height; y++) {
		const filter = raw[y * (row + 1)];
		for (let i = 0; i < row; i++) {
			const at = y * row + i;
			const left = i >= step ? (lines[at - step] as number) : 0;
			const up = y > 0 ? (lines[at - row] as number) : 0;
			const corner = i >= step && y > 0 ? (lines[at - row - step] as number) : 0;
			lines[at] = (raw[y * (row + 1) + 1 + i] as number) + predicted(filter, left, up, corner);
		}
	}
	return lines;
}

function predicted(filter: number | undefined, left: number, up: number, corner: number): number {
	switch (filter) {
		case 0:
			return 0;
		case 1:
			return left;
		case 2:
			return up;
		case 3:
			return (left + up) >> 1;
		case 4: {
			const [a, b, c] = [Math.abs(up - corner), Math.abs(left - corner), Math.abs(left + up - 2 * corner)];
			return a <= b && a <= c ? left : b <= c ? up : corner;
		}
	}
	throw new BadImage("the image uses a filter that does not exist");
}

function sampleAt(lines: Uint8Array, line: number, n: number, depth: number): number {
	if (depth === 8) {
		return lines[line + n] as number;
	}
	if (depth === 16) {
		return ((lines[line + n * 2] as number) << 8) | (lines[line + n * 2 + 1] as number);
	}
	const bit = n * depth;
	const byte = lines[line + (bit >> 3)] as number;
	return (byte >> (8 - depth - (bit & 7))) & (2 ** depth - 1);
}

/** Writes an image. */
export function encode({ width, height, pixels }: Image): Buffer {
	const raw = Buffer.alloc((width * 4 + 1) * height);
	for (let y = 0; y < height; y++) {
		// Filter 1: less the pixel to the left, which packs well.
		const line = y * (width * 4 + 1);
		raw[line] = 1;
		for (let i = 0; i < width * 4; i++) {
			const at = y * width * 4 + i;
			raw[line + 1 + i] = (pixels[at] as number) - (i >= 4 ? (pixels[at - 4] as number) : 0);
		}
	}
	const header = Buffer.alloc(13);
	header.writeUInt32BE(width, 0);
	header.writeUInt32BE(height, 4);
	header.set([8, 6, 0, 0, 0], 8);
	return Buffer.concat([signature, part("IHDR", header), part("IDAT", deflateSync(raw)), part("IEND", Buffer.alloc(0))]);
}

function part(name: string, content: Buffer): Buffer {
	const whole = Buffer.alloc(content.length + 12);
	whole.writeUInt32BE(content.length, 0);
	whole.write(name, 4, "latin1");
	whole.set(content, 8);
	whole.writeUInt32BE(crc32(whole.subarray(4, content.length + 8)), content.length + 8);
	return whole;
}
