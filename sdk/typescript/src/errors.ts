import type { Job } from "./types.js";

/** The base of every error that this package raises, a caller's own abort aside. */
export class TallygateError extends Error {
	override get name(): string {
		return "TallygateError";
	}
}

/** What is known of the call that failed. */
export interface CallFailure {
	message: string;
	cause?: unknown;
	/** How many requests were made. */
	attempts?: number;
	/** Of the last answer: its status. */
	status?: number;
	/** Of the last answer: its `X-Request-Id`. */
	requestId?: string;
	/** Seconds that the server asks to wait. */
	retryAfter?: number;
	/** Of the last answer: its headers, in lower case. */
	headers?: Readonly<Record<string, string>>;
	/** Of the last answer: its body. */
	body?: string;
	/** Whether the same call may succeed later. */
	retryable?: boolean;
}

/** A call that failed, after as many attempts as the policy allows. */
export class CallError extends TallygateError {
	/** How many requests were made. */
	readonly attempts: number;
	/** The HTTP status of the last answer; undefined where none came. */
	readonly status: number | undefined;
	/** Names the request in the server's log. */
	readonly requestId: string | undefined;
	/** Seconds that the server asked to wait; undefined where it did not. */
	readonly retryAfter: number | undefined;
	/** Whether the same call may succeed later; it was made again as often as the policy allows. */
	readonly retryable: boolean;
	/** The headers of the last answer, their names in lower case. */
	declare readonly headers: Readonly<Record<string, string>>;
	/** The body of the last answer, as it came. */
	declare readonly body: string;

	override get name(): string {
		return "CallError";
	}

	constructor(failure: CallFailure) {
		super(failure.message, "cause" in failure ? { cause: failure.cause } : undefined);
		this.attempts = failure.attempts ?? 1;
		this.status = failure.status;
		this.requestId = failure.requestId;
		this.retryAfter = failure.retryAfter;
		this.retryable = failure.retryable ?? false;
		// Kept out of what inspecting an error prints.
		Object.defineProperty(this, "headers", { value: failure.headers ?? {} });
		Object.defineProperty(this, "body", { value: failure.body ?? "" });
	}
}

/** No answer came: the connection was refused, reset or broke off, or the server's name or certificate is not good. */
export class ConnectionError extends CallError {
	override get name(): string {
		return "ConnectionError";
	}
}

/** An attempt took longer than it may. */
export class TimeoutError extends CallError {
	override get name(): string {
		return "TimeoutError";
	}
}

/** What answered is not a Tallygate server: the page of a proxy, a redirect, something that is not the API's JSON. */
export class UnexpectedAnswerError extends CallError {
	declare readonly status: number;

	override get name(): string {
		return "UnexpectedAnswerError";
	}
}

/** A refusal in the server's own words: `{"error": {"code", "message"}}`. Each code of the contract has a class below this. */
export class APIError extends CallError {
	/** One of the contract's codes, or one that this version does not know. */
	readonly code: string;
	declare readonly status: number;

	override get name(): string {
		return "APIError";
	}

	constructor(code: string, failure: CallFailure & { status: number }) {
		super(failure);
		this.code = code;
	}
}

/** 401: the key is missing or malformed. */
export class AuthenticationFailedError extends APIError {
	override get name(): string {
		return "AuthenticationFailedError";
	}
}

/** 401: no such key. */
export class InvalidApiKeyError extends APIError {
	override get name(): string {
		return "InvalidApiKeyError";
	}
}

/** 401: the key has expired. */
export class ExpiredApiKeyError extends APIError {
	override get name(): string {
		return "ExpiredApiKeyError";
	}
}

/** 401: the key has been revoked. */
export class RevokedApiKeyError extends APIError {
	override get name(): string {
		return "RevokedApiKeyError";
	}
}

/** 403: the key's address, or the client, may not reach this. */
export class AuthorizationFailedError extends APIError {
	override get name(): string {
		return "AuthorizationFailedError";
	}
}

/** 403: the client is suspended. */
export class SuspendedAccountError extends APIError {
	override get name(): string {
		return "SuspendedAccountError";
	}
}

/** 403: the key lacks a permission, which the message names. */
export class InsufficientPermissionsError extends APIError {
	override get name(): string {
		return "InsufficientPermissionsError";
	}
}

/** 400: the request as a whole is wrong, or comes at the wrong time. */
export class InvalidRequestError extends APIError {
	override get name(): string {
		return "InvalidRequestError";
	}
}

/** 400: something required is missing. */
export class MissingParameterError extends APIError {
	override get name(): string {
		return "MissingParameterError";
	}
}

/** 400: a value is wrong, or a field is unknown. */
export class InvalidParameterError extends APIError {
	override get name(): string {
		return "InvalidParameterError";
	}
}

/** 400: the body is no JSON text in UTF-8. */
export class InvalidFormatError extends APIError {
	override get name(): string {
		return "InvalidFormatError";
	}
}

/** 400: the job may cost more than is available. */
export class InsufficientBalanceError extends APIError {
	override get name(): string {
		return "InsufficientBalanceError";
	}
}

/** 404: no such route or job type. */
export class ResourceNotFoundError extends APIError {
	override get name(): string {
		return "ResourceNotFoundError";
	}
}

/** 404: the client has no such job. */
export class JobNotFoundError extends APIError {
	override get name(): string {
		return "JobNotFoundError";
	}
}

/** 404: no such client. */
export class ClientNotFoundError extends APIError {
	override get name(): string {
		return "ClientNotFoundError";
	}
}

/** 404: no such API key. */
export class ApiKeyNotFoundError extends APIError {
	override get name(): string {
		return "ApiKeyNotFoundError";
	}
}

/** 429: a limit is reached; tried again after `Retry-After`. */
export class RateLimitExceededError extends APIError {
	override get name(): string {
		return "RateLimitExceededError";
	}
}

/** 500: the server failed; tried again. */
export class InternalError extends APIError {
	override get name(): string {
		return "InternalError";
	}
}

/** 500: the job itself failed; never tried again. */
export class ProcessingFailedError extends APIError {
	override get name(): string {
		return "ProcessingFailedError";
	}
}

/** 500: the server's database failed; tried again. */
export class DatabaseError extends APIError {
	override get name(): string {
		return "DatabaseError";
	}
}

/** 500: a service that the server calls failed; tried again, unless it is the error of a job. */
export class ExternalServiceError extends APIError {
	override get name(): string {
		return "ExternalServiceError";
	}
}

/** 503: too busy, or going down; tried again after `Retry-After`. */
export class ServiceUnavailableError extends APIError {
	override get name(): string {
		return "ServiceUnavailableError";
	}
}

/** The class of each of the contract's codes, and whether a call is tried again after it. */
const codes: Record<string, { type: typeof APIError; retry: boolean }> = {
	AUTHENTICATION_FAILED: { type: AuthenticationFailedError, retry: false },
	INVALID_API_KEY: { type: InvalidApiKeyError, retry: false },
	EXPIRED_API_KEY: { type: ExpiredApiKeyError, retry: false },
	REVOKED_API_KEY: { type: RevokedApiKeyError, retry: false },
	AUTHORIZATION_FAILED: { type: AuthorizationFailedError, retry: false },
	SUSPENDED_ACCOUNT: { type: SuspendedAccountError, retry: false },
	INSUFFICIENT_PERMISSIONS: { type: InsufficientPermissionsError, retry: false },
	INVALID_REQUEST: { type: InvalidRequestError, retry: false },
	MISSING_PARAMETER: { type: MissingParameterError, retry: false },
	INVALID_PARAMETER: { type: InvalidParameterError, retry: false },
	INVALID_FORMAT: { type: InvalidFormatError, retry: false },
	INSUFFICIENT_BALANCE: { type: InsufficientBalanceError, retry: false },
	RESOURCE_NOT_FOUND: { type: ResourceNotFoundError, retry: false },
	JOB_NOT_FOUND: { type: JobNotFoundError, retry: false },
	CLIENT_NOT_FOUND: { type: ClientNotFoundError, retry: false },
	API_KEY_NOT_FOUND: { type: ApiKeyNotFoundError, retry: false },
	RATE_LIMIT_EXCEEDED: { type: RateLimitExceededError, retry: true },
	INTERNAL_ERROR: { type: InternalError, retry: true },
	PROCESSING_FAILED: { type: ProcessingFailedError, retry: false },
	DATABASE_ERROR: { type: DatabaseError, retry: true },
	EXTERNAL_SERVICE_ERROR: { type: ExternalServiceError, retry: true },
	SERVICE_UNAVAILABLE: { type: ServiceUnavailableError, retry: true },
};

/** Makes the error of a code: of the code's own class, or an APIError where this version does not know it. */
export function errorOf(code: string, failure: CallFailure & { status: number }): APIError {
	const known = Object.hasOwn(codes, code) ? codes[code] : undefined;
	return new (known?.type ?? APIError)(code, failure);
}

/** Whether a call is tried again after the code; undefined for a code that this version does not know. */
export function retries(code: string): boolean | undefined {
	return Object.hasOwn(codes, code) ? codes[code]?.retry : undefined;
}

/** The job had not ended when its caller's time was up. */
export class WaitTimeoutError extends TallygateError {
	/** The job as last known. */
	readonly job: Job;

	override get name(): string {
		return "WaitTimeoutError";
	}

	constructor(job: Job, message: string) {
		super(message);
		this.job = job;
	}
}

/** The job was cancelled, and its result was wanted. */
export class JobCancelledError extends TallygateError {
	/** The cancelled job. */
	readonly job: Job;

	override get name(): string {
		return "JobCancelledError";
	}

	constructor(job: Job) {
		super(`the job ${job.id} was cancelled and has no result`);
		this.job = job;
	}
}

/** The webhook does not come from who holds the secret, or is too old. Answer it with a 401 and look no further. */
export class InvalidWebhookError extends TallygateError {
	override get name(): string {
		return "InvalidWebhookError";
	}
}
