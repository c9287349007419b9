"""Reference: the OpenAPI document as a page shows it, since the usual pages for that load scripts from elsewhere."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from agent.console.access import needs
from agent.console.problems import MEDIA_TYPE

_BODY = "application/json"
_REF = "#/components/schemas/"
# What stands in a path of an example.
_EXAMPLES = {
    "decision_id": "DECISION",
    "event_id": "EVENT",
    "loop": "replies",
    "candidate": "utter_refund",
    "key": "CONVERSATION",
}
_LONGEST = 1_000
_PLAIN = ("string", "number", "integer", "boolean", "null")


@dataclass(frozen=True)
class Field:
    """A parameter of a call, or a field of a body. `ref` is the body that it holds, if it holds one."""

    name: str
    kind: str
    required: bool
    said: str = ""
    ref: str = ""


@dataclass(frozen=True)
class Answer:
    """What a call may answer: a status, and when."""

    status: str
    said: str


@dataclass(frozen=True)
class Call:
    """One call of the API: what it takes, what it answers, the scope it needs (empty: none), and an example."""

    method: str
    path: str
    title: str
    said: str
    scope: str
    parameters: Sequence[Field]
    body: str
    answers: Sequence[Answer]
    curl: str

    @property
    def anchor(self) -> str:
        """A name that a link can lead to."""
        return f"{self.method.lower()}{self.path.replace('/', '-').replace('{', '').replace('}', '').replace(':', '-')}"


@dataclass(frozen=True)
class Body:
    """A body that calls take: its fields, and an example of it as JSON (empty where it is part of others)."""

    name: str
    said: str
    fields: Sequence[Field]
    example: str


@dataclass(frozen=True)
class Reference:
    """All calls in the order of their paths, the bodies they take, and the errors that any of them may answer."""

    calls: Sequence[Call]
    bodies: Sequence[Body]
    errors: Sequence[Answer]


def reference(app: FastAPI, *, base: str) -> Reference:
    """What an application's OpenAPI document says; examples call the address `base`, which ends without a slash."""
    document = app.openapi()
    schemas: Mapping[str, Any] = document.get("components", {}).get("schemas", {})
    scopes = {(method, route.path_format): _scope(route) for route, method in _routes(app)}
    calls, errors = [], dict[str, str]()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            good, bad = _answers(operation)
            errors |= bad
            body = operation.get("requestBody", {}).get("content", {}).get(_BODY, {}).get("schema", {})
            name = body.get("$ref", "").removeprefix(_REF)
            said = operation.get("description", "")
            calls.append(
                Call(
                    method=method.upper(),
                    path=path,
                    title=said.split("\n\n")[0].replace("\n", " ") or operation.get("summary", ""),
                    said="\n\n".join(said.split("\n\n")[1:]),
                    scope=scopes.get((method.upper(), path), ""),
                    parameters=[_parameter(given) for given in operation.get("parameters", ())],
                    body=name,
                    answers=[Answer(status, text) for status, text in good.items()],
                    curl=_curl(method.upper(), f"{base}{path}", schemas.get(name, {}).get("example"), name),
                )
            )
    taken = {call.body for call in calls} - {""}
    bodies = [_body(name, schemas[name]) for name in _reached(taken, schemas)]
    return Reference(calls, bodies, [Answer(status, said) for status, said in sorted(errors.items())])


def _routes(app: FastAPI) -> Iterator[tuple[APIRoute, str]]:
    for route in app.routes:
        if isinstance(route, APIRoute):
            for method in route.methods:
                yield route, method


def _scope(route: APIRoute) -> str:
    return next((need.scope for need in needs(route) if need.scope), "")


def _answers(operation: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """What is answered where all is well, and otherwise: the problems that every call may answer."""
    good, bad = dict[str, str](), dict[str, str]()
    for status, answer in operation.get("responses", {}).items():
        (bad if MEDIA_TYPE in answer.get("content", {}) else good)[status] = answer.get("description", "")
    return good, bad


def _parameter(given: Mapping[str, Any]) -> Field:
    schema = given.get("schema", {})
    default = schema.get("default")
    said = given.get("description", "") or ("" if default in (None, "") else f"unless given: {json.dumps(default)}")
    return Field(given["name"], f"{_kind(schema)} in {given['in']}", bool(given.get("required")), said)


def _body(name: str, schema: Mapping[str, Any]) -> Body:
    required = set(schema.get("required", ()))
    fields = [
        Field(field, _kind(given), field in required, "", next(iter(_refs(given)), ""))
        for field, given in schema.get("properties", {}).items()
    ]
    example = schema.get("example")
    return Body(name, schema.get("description", ""), fields, json.dumps(example, indent=2) if example else "")


def _kind(schema: Mapping[str, Any]) -> str:
    """What a value is, in a word or a few."""
    if "$ref" in schema:
        return str(schema["$ref"]).removeprefix(_REF)
    if isinstance(schema.get("type"), list):
        return " or ".join(_kind({**schema, "type": kind}) for kind in schema["type"])
    if schema.get("type") in _PLAIN:
        return str(schema["type"])
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(_kind(one) for one in schema[several])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_kind(schema['additionalProperties'])}"
    return str(schema.get("type", "text"))


def _refs(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield str(value).removeprefix(_REF)
            else:
                yield from _refs(value)
    elif isinstance(schema, list):
        for one in schema:
            yield from _refs(one)


def _reached(names: set[str], schemas: Mapping[str, Any]) -> list[str]:
    """The bodies of these names and those that they hold, in alphabetical order."""
    found, new = set[str](), names
    while new:
        found |= new
        new = {ref for name in new for ref in _refs(schemas[name].get("properties", {}))} - found
    return sorted(found & schemas.keys())


def _curl(method: str, address: str, example: Any, body: str) -> str:
    for name, value in _EXAMPLES.items():
        address = address.replace(f"{{{name}}}", value)
    parts = ["curl -s", '-H "Authorization: Bearer $REJOINDER_KEY"']
    if method not in ("GET", "POST") or (method == "POST" and not body):
        parts.append(f"-X {method}")
    if body:
        parts.append(f"--json {shlex.quote(json.dumps(example or {}, ensure_ascii=False))[:_LONGEST]}")
    return " ".join([*parts, address])
