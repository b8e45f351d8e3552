import type { Image } from "./png.js";

/**
 * Makes an image smaller: each new pixel is the mean of the area that it stands for, colours weighed by how opaque they
 * are. Lines are told as they are done, so that a caller can look up between them.
 */
export function* shrink(image: Image, width: number): Generator<number, Image> {
	const height = Math.max(1, Math.round((image.height * width) / image.width));
	const pixels = new Uint8Array(width * height * 4);
	const across = weights(image.width, width);
	const down = weights(image.height, height);
	for (const [y, rows] of down.entries()) {
		for (const [x, columns] of across.entries()) {
			const sum = [0, 0, 0, 0];
			let area = 0;
			for (const [row, tall] of rows) {
				for (const [column, wide] of columns) {
					const at = (row * image.width + column) * 4;
					const share = tall * wide;
					const alpha = (image.pixels[at + 3] as number) * share;
					area += share;
					sum[3]! += alpha;
					for (let n = 0; n < 3; n++) {
						sum[n]! += (image.pixels[at + n] as number) * alpha;
					}
				}
			}
			const alpha = sum[3] as number;
			const at = (y * width + x) * 4;
			for (let n = 0; n < 3; n++) {
				pixels[at + n] = alpha === 0 ? 0 : Math.round((sum[n] as number) / alpha);
			}
			pixels[at + 3] = Math.round(alpha / area);
		}
		yield (y + 1) / height;
	}
	return { width, height, pixels };
}

/** Which old places each new one stands for, and how much of each. */
function weights(from: number, to: number): [place: number, share: number][][] {
	const scale = from / to;
	return Array.from({ length: to }, (_, n) => {
		const begin = n * scale;
		const end = Math.min(from, begin + scale);
		const places: [number, number][] = [];
		for (let place = Math.floor(begin); place < end; place++) {
			places.push([place, Math.min(end, place + 1) - Math.max(begin, place)]);
		}
		return places;
	});
}
