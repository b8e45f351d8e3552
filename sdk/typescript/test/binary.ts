import { fileURLToPath } from "node:url";

/** The server that `make build` makes. */
export const binary = fileURLToPath(new URL("../../../bin/tallygate", import.meta.url));

/** The folder of this package. */
export const root = fileURLToPath(new URL("../", import.meta.url));
