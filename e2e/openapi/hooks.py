"""What schemathesis needs to know of this server beside its description: a worker that ends every job, so that nothing
waits, names of things that there are, and checks of what the contract says and OpenAPI has no word for."""

import json
import os
import re
import threading
import urllib.error
import urllib.request

import jsonschema_rs
import schemathesis

URL = os.environ["TALLYGATE_URL"]
WORKER_KEY = os.environ["TALLYGATE_WORKER_KEY"]
PROBE_KEY = os.environ["TALLYGATE_PROBE_KEY"]  # the one that schemathesis sends
TYPE = "free.form"  # takes any input

DURATION = re.compile(r"(0|([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+)")
TYPE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
ID = re.compile(r"(job|cl|key)_[0-7][0-9a-hjkmnp-tv-z]{25}")


def call(method, path, body=None, key=None):
    """Sends a request and returns status, headers and body."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    if path.endswith("/credits"):
        headers["Idempotency-Key"] = path
    request = urllib.request.Request(URL + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, json.load(answer)
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.headers, json.load(refusal)


def made(method, path, body, key):
    status, _, answer = call(method, path, body, key)
    assert status == 200, answer
    return answer["id"]


def work():
    reports = []
    while True:
        lease = {"types": [TYPE], "max": 100, "wait": "10s"}
        status, _, body = call("POST", "/v1/worker/report", {"reports": reports, "lease": lease}, WORKER_KEY)
        assert status == 200, body
        reports = [
            {"job_id": one["job"]["id"], "token": one["token"], "outcome": "succeeded", "result": {}} for one in body["leases"]
        ]


threading.Thread(target=work, daemon=True).start()

# What a well-formed name in a path is put in place of. The key that does the work is not among it: it stays as it is.
CLIENT = made("POST", "/v1/clients", {"name": "Spare"}, WORKER_KEY)
CLIENTS_KEY = made("POST", f"/v1/clients/{CLIENT}/api-keys", {"permissions": ["jobs:read"]}, WORKER_KEY)
KEY = made("POST", "/v1/api-keys", {"permissions": ["jobs:read"]}, PROBE_KEY)
OWN = made("GET", "/v1/account", None, PROBE_KEY)
made("POST", f"/v1/clients/{OWN}/credits", {"amount": "100000"}, WORKER_KEY)
JOB = made("POST", "/v1/jobs?wait=30s", {"type": TYPE, "input": {}}, PROBE_KEY)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Shortens what is waited for, and names what there is. What is wrong stays as it is."""
    operation, path = case.operation.definition.raw.get("operationId"), case.operation.path
    query = dict(case.query or {})
    if DURATION.fullmatch(str(query.get("wait", ""))) or (operation == "runJob" and "wait" not in query):
        case.query = {**query, "wait": "300ms"}
    names = dict(case.path_parameters or {})
    for name, value in names.items():
        if not isinstance(value, str):
            continue
        if name == "type" and TYPE_NAME.fullmatch(value):
            names[name] = TYPE
        elif value == TYPE:
            names[name] = TYPE + "2"  # the type itself is neither defined anew nor deleted
        elif ID.fullmatch(value) and name == "key":
            names[name] = CLIENTS_KEY if "{client}" in path else KEY
        elif ID.fullmatch(value) and name == "client":
            names[name] = CLIENT
        elif ID.fullmatch(value) and operation == "streamJobEvents":
            names[name] = JOB  # which has ended, and with it its stream
    if names:
        case.path_parameters = names
    body = case.body
    if isinstance(body, dict):
        for part in [body, body.get("lease")]:
            if isinstance(part, dict) and isinstance(part.get("wait"), str) and DURATION.fullmatch(part["wait"]):
                part["wait"] = "10ms"
        submissions = body.get("jobs") if operation == "submitJobBatch" else [body] if operation in ("submitJob", "quoteJob") else []
        for one in submissions if isinstance(submissions, list) else []:
            if isinstance(one, dict) and isinstance(one.get("type"), str) and TYPE_NAME.fullmatch(one["type"]):
                one["type"] = TYPE


# What a request that is as described may still be refused for with 400: what no schema can tell.
BEYOND_SCHEMAS = {
    "INSUFFICIENT_BALANCE": [""],
    "INVALID_REQUEST": [
        r"the job \S+ (is|was) ",  # its result, asked for too early
        r"token: |ended by this lease",  # a lease that there is not
        r"last active key",
        r"operator's own client",
        r"was already replaced|cannot be rotated",
        r"live jobs",
        r"nests deeper than",
    ],
    "INVALID_PARAMETER": [
        r"must be a duration from ",  # a pattern knows no bounds
        r"overlap: it must be from",
        r"/(attempt_timeout|time_limit|lease|retention|executor/timeout): must be ",
        r"cursor: must be the next_cursor",
        r"client_id: is no query parameter",  # for operators alone
        r"from: must be before to",
        r"(from|to): must be a day",  # such as the 31st of February
        r"is wrong: .*too large",  # money has a greatest amount
        r"amount: must be more than 0|must not be negative",  # decimals in strings
        r"/price: the most that a job may cost is too large",
        r"max_cost: the job's quote is",
        r"Idempotency-Key: another request was already made with this key",
        r"currency: this server's only currency is",
        r"metadata: must have at most|metadata: it is larger than",
        r"/?input_schema: is not a JSON Schema",
        r"/?executor/(url|handler|secret): must ",
        r"name: must be left out or the name in the path",
        r"expires_at: it is not in the future",
        r"allowed_cidrs: ",
        r"permissions: .* is for operators' keys",
        r"may have at most three decimals",
        r"/units/.*: the job type does not meter it",
        r"/types: there is no job type",
        r"is no query parameter of this request",  # names of metadata with odd brackets
    ],
}


@schemathesis.check
def refused_for_what_no_schema_can_tell(ctx, response, case):
    """Narrows positive_data_acceptance down to the refusals above."""
    if response.status_code != 400 or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.method.lower() not in case.operation.schema.raw_schema["paths"][case.operation.path]:
        return
    error = response.json()["error"]
    if not any(re.search(reason, error["message"]) for reason in BEYOND_SCHEMAS.get(error["code"], [])):
        raise AssertionError(f"what is as described is refused: {error}")


@schemathesis.check
def server_errors_are_told(ctx, response, case):
    """A job may fail and a wait may end: these are answers. What the server does not know itself is a bug."""
    if response.status_code >= 500 and response.json()["error"]["code"] not in ("PROCESSING_FAILED", "SERVICE_UNAVAILABLE"):
        raise AssertionError(response.text)


@schemathesis.check
def events_are_as_described(ctx, response, case):
    """The data of each event of a stream is a JobEvent."""
    if case.operation.definition.raw.get("operationId") != "streamJobEvents" or response.status_code != 200:
        return
    components = case.operation.schema.raw_schema["components"]
    validator = jsonschema_rs.validator_for({"$ref": "#/components/schemas/JobEvent", "components": components})
    for line in response.text.splitlines():
        if line.startswith("data: "):
            validator.validate(json.loads(line.removeprefix("data: ")))


tried = set()


@schemathesis.check
def wrong_methods_are_told(ctx, response, case):
    """The contract has no 405: another method is refused with 400 and told which ones there are."""
    path = case.operation.path
    if path in tried:
        return
    tried.add(path)
    methods = {name.upper() for name in case.operation.schema.raw_schema["paths"][path]}
    allowed = methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "QUERY"} - allowed:
        status, headers, body = call(method, re.sub(r"\{[a-z]+\}", "x", path))
        told = set((headers.get("Allow") or "").split(", "))
        if status != 400 or body["error"]["code"] != "INVALID_REQUEST" or told != allowed:
            raise AssertionError(f"{method} {path} is answered {status} {body}, Allow {told}")
