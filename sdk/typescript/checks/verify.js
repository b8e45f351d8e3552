// What an upstream imports: nothing of the client may come along.
import { webhooks } from "tallygate";

export const verify = webhooks.verify;
