"""The surface against the server's own description of its API: every operation has a method, every model the fields of
its schema and no others, every parameter and member of a body an argument."""

from __future__ import annotations

import inspect
import json
import subprocess
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Dict, Iterator, List, Set, Tuple, Union, cast, get_args, get_origin, get_type_hints

import pytest

import tallygate
from cases import METHODS, method_of
from live import BINARY
from tallygate import errors, models
from tallygate.inputs import LeaseRequest, Report, Submission

Json = Dict[str, Any]
DOCUMENT: Json = json.loads(subprocess.run([BINARY, "openapi"], check=True, capture_output=True).stdout)
SCHEMAS: Json = DOCUMENT["components"]["schemas"]


def operations() -> Iterator[Tuple[str, Json]]:
    for path in DOCUMENT["paths"].values():
        for operation in path.values():
            if isinstance(operation, dict) and "operationId" in operation:
                yield cast(str, operation["operationId"]), cast(Json, operation)


def resolved(node: Json) -> Json:
    """What a reference leads to."""
    while "$ref" in node:
        at: Any = DOCUMENT
        for name in node["$ref"].split("/")[1:]:
            at = at[name]
        node = {**at, **{name: of for name, of in node.items() if name != "$ref"}}
    return node


OPERATIONS = dict(operations())
MODELS = {
    name: kind
    for name, kind in vars(models).items()
    if isinstance(kind, type) and issubclass(kind, models.Model) and kind not in (models.Model, models.Items)
}


def test_every_operation_has_a_method() -> None:
    named = set(METHODS) - {"wait", "run", "events"}
    assert named == set(OPERATIONS)


@pytest.mark.parametrize("client", [tallygate.Tallygate, tallygate.AsyncTallygate])
@pytest.mark.parametrize("name", OPERATIONS)
def test_a_method_takes_what_its_operation_takes(name: str, client: Any) -> None:
    operation = OPERATIONS[name]
    taken = set(inspect.signature(method_of(client("http://server.test", "k"), name)).parameters)
    taken = {"from" if argument == "from_" else argument for argument in taken}
    parameters = [resolved(parameter) for parameter in operation.get("parameters", [])]
    expected: Set[str] = set()
    for parameter in parameters:
        if parameter["in"] == "query":
            expected.add(parameter["name"])
    headers = {parameter["name"] for parameter in parameters if parameter["in"] == "header"}
    assert ("idempotency_key" in taken) == ("Idempotency-Key" in headers)
    assert ("last_event_id" in taken) == ("Last-Event-ID" in headers)
    content: Json = resolved(operation.get("requestBody", {})).get("content", {})
    body: Json = content.get("application/json", {}).get("schema", {})
    if name == "runJob":
        expected.add("input")
    else:
        expected |= set(resolved(body).get("properties", {}))
    path = {parameter["name"] for parameter in parameters if parameter["in"] == "path"}
    expected -= path
    rest = taken - expected - {"idempotency_key", "last_event_id"}
    assert len(rest) == len(path), (rest, path)
    assert expected - taken <= {"webhook_url"}  # which may only be null


def kinds(schema: Json) -> Any:
    """The Python type that stands for a schema."""
    reference = schema.get("$ref", "").rsplit("/", 1)[-1]
    named = {"Money": Decimal, "Time": datetime, "Day": date, "Duration": timedelta, "ErrorDetail": models.JobError}
    if reference in named:
        return named[reference]
    if reference in MODELS and reference != "Document":
        return MODELS[reference]
    schema = resolved(schema)
    if "anyOf" in schema:
        return Union[tuple(kinds(of) for of in schema["anyOf"])]
    told: Any = schema.get("type")
    if isinstance(told, list):
        types = [of for of in cast("List[str]", told) if of != "null"]
        one = [kinds({**schema, "type": of}) for of in types]
        union: Any = Union[tuple(one)]
        return union if len(types) == len(cast("List[str]", told)) else Union[union, None]
    if told == "string":
        return {"date": date, "date-time": datetime}.get(schema.get("format", ""), str)
    if told == "array":
        return List[kinds(schema["items"])]  # type: ignore[misc]
    if told == "object":
        values = schema.get("additionalProperties")
        return Dict[str, kinds(values) if isinstance(values, dict) else Any]  # type: ignore[misc]
    return {"integer": int, "number": float, "boolean": bool, "null": type(None)}.get(told, Any)


def properties(name: str) -> Tuple[Json, Set[str]]:
    """The members of a schema, and those that are always there."""
    schema: Json = SCHEMAS[name]
    required: Set[str]
    if "oneOf" in schema:
        forms: List[Json] = [resolved(form) for form in schema["oneOf"]]
        merged: Json = {}
        for form in forms:
            merged.update(form["properties"])
        required = {of for of in merged if all(of in cast("List[str]", form["required"]) for form in forms)}
        return merged, required
    parts = [resolved(part) for part in schema.get("allOf", [schema])]
    members: Json = {}
    required = set()
    for part in parts:
        members.update(part.get("properties", {}))
        required |= set(part.get("required", []))
    return members, required


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_the_fields_of_its_schema(name: str) -> None:
    members, required = properties(name)
    fields = {of: hint for of, hint in get_type_hints(MODELS[name]).items() if not of.startswith("_")}
    assert set(fields) == set(members)
    for member, schema in members.items():
        expected = kinds(schema)
        if member not in required:
            expected = Union[expected, None]
        if kinds(schema) is type(None):  # a list that is one page
            expected = Union[str, None]
        assert fields[member] == expected, member


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_method_gives_what_its_operation_answers(name: str) -> None:
    content = OPERATIONS[name]["responses"]["200"]["content"]
    method = method_of(tallygate.Tallygate("http://server.test", "k"), name)
    given = get_type_hints(method)["return"]
    if name == "streamJobEvents":
        assert get_args(given) == (models.JobEvent,)
        return
    answered = content["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
    if answered == "Document":
        assert given == Dict[str, Any]
    elif get_origin(given) is tallygate.Pages:
        item = SCHEMAS[answered]["properties"]["data"]["items"]["$ref"].rsplit("/", 1)[-1]
        assert get_args(given)[0].__name__ == item
    elif answered == "Result":
        assert given is Any
    else:
        assert given.__name__ == answered


@pytest.mark.parametrize(
    ("typed", "names"),
    [
        (Submission, ["JobSubmission"]),
        (LeaseRequest, ["LeaseRequest"]),
        (Report, ["SucceededReport", "FailedReport", "ReleasedReport"]),
    ],
)
def test_what_is_sent_has_the_members_of_its_schema(typed: type, names: List[str]) -> None:
    members = {member for name in names for member in properties(name)[0]}
    assert set(get_type_hints(typed)) == members - {"webhook_url"}


def test_every_code_has_its_type() -> None:
    assert set(errors.BY_CODE) == set(SCHEMAS["ErrorCode"]["enum"])
    for code, kind in errors.BY_CODE.items():
        words = "".join(word.capitalize() for word in code.split("_"))
        assert kind.__name__ == (words if words.endswith("Error") else words + "Error")
        assert getattr(tallygate, kind.__name__) is kind
        assert kind.__doc__
        assert kind.__doc__.startswith(tuple("45"))


def test_both_clients_have_one_surface() -> None:
    def surface(kind: Any) -> Dict[str, str]:
        parts = cast(Json, vars(kind("http://server.test", "k")))
        return {
            f"{name}.{method}": str(inspect.signature(getattr(part, method)))
            for name, part in parts.items()
            if not name.startswith("_")
            for method in dir(part)
            if not method.startswith("_") and callable(getattr(part, method))
        }

    blocking, asynchronous = surface(tallygate.Tallygate), surface(tallygate.AsyncTallygate)
    assert len(blocking) >= 40
    assert {name: text.replace("Async", "") for name, text in asynchronous.items()} == blocking
