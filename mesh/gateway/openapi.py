"""`/openapi.json`: what can be called now, as OpenAPI 3.1, whose schemas are JSON Schema (section 4.8.24)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mesh.gateway.catalog import Offer
from mesh.gateway.headers import TIMEOUT_S_MIN

__all__ = ["document"]

_PROBLEM_TYPE = "application/problem+json"
_REST = "*"
"""What `mesh.describe` calls any number of further arguments."""
_OCTETS = "application/octet-stream"
_PROBLEM = {
    "type": "object",
    "description": "Problem details (RFC 9457).",
    "properties": {
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong and what to do about it."},
        "code": {"type": "string", "description": "The same in one word: where there is one, the gRPC status."},
        "error": {"type": "string", "description": "The error of the mesh that ended the call."},
        "method": {"type": "string"},
        "elapsed_s": {"type": "number"},
        "attempts": {
            "type": "array",
            "description": "Who was tried, when, and how it ended.",
            "items": {
                "type": "object",
                "properties": {
                    "peer_id": {"type": "string"},
                    "name": {"type": "string"},
                    "address": {"type": "string"},
                    "started_s": {"type": "number"},
                    "elapsed_s": {"type": "number"},
                    "result": {"type": "string"},
                },
                "required": ["peer_id", "name", "address", "started_s", "elapsed_s", "result"],
            },
        },
    },
    "required": ["title", "status", "detail", "code"],
}
_TIMEOUT = {
    "name": "Request-Timeout",
    "in": "header",
    "description": "Seconds that the call may take, over all attempts; Grpc-Timeout is understood as well.",
    "schema": {"type": "number", "minimum": TIMEOUT_S_MIN},
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Calls with equal keys run once per server.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[ -!#-\\[\\]-~]+$"},
}
_PREFER = {
    "name": "Prefer",
    "in": "header",
    "description": "`respond-async`: the call is kept on disk and answered at its own URL, however late; with "
    "`wait=10` the answer comes at once if there is one within so many seconds (RFC 7240).",
    "schema": {"type": "string"},
    "example": "respond-async, wait=10",
}
_KEPT = {
    "type": "object",
    "description": "How a call stands that is answered later.",
    "properties": {
        "id": {"type": "string"},
        "method": {"type": "string"},
        "state": {"enum": ["waiting", "running", "answered", "failed"]},
        "put_at": {"type": "number", "description": "When it was accepted, in seconds since 1970."},
        "ended_at": {"type": "number", "description": "When it ended, likewise."},
        "tries": {"type": "integer"},
        "problem": {"type": "string", "description": "Why it failed, or why the last try came to nothing."},
        "code": {"type": "string", "description": "That of a problem, if it failed."},
        "url": {"type": "string", "description": "Where this is told."},
        "answer": {"type": "string", "description": "Where its answer is, once it has ended."},
    },
    "required": ["id", "method", "state", "put_at", "tries", "url"],
}
_LINKS = {
    f"{what} of the call": {"operationId": f"{what}-of-call", "parameters": {"id": "$response.body#/id"}}
    for what in ("state", "answer")
}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[0-9a-f]{32}$"}}
_FAILED = {
    "description": "Refused, or failed",
    "content": {_PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def document(
    offers: Iterable[tuple[Offer, Mapping[str, Any] | None]],
    *,
    version: str,
    timeout_s_max: float,
    secured: bool,
    keeps: bool,
) -> dict[str, Any]:
    """Return the document.

    Args:
        offers: The methods, each with its JSON Schema as `mesh.describe` gives it, or None where nobody tells.
        version: Of this gateway.
        timeout_s_max: Longest deadline that a caller may give.
        secured: Whether a token is asked for.
        keeps: Whether it takes calls that are answered later.
    """
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    paths: dict[str, Any] = {}
    for offer, schema in offers:
        service, _, method = offer.name.partition(".")
        arguments, result = _schemas(offer, schema, schemas)
        post = {
            **_operation(offer, "call", result),
            "parameters": _headers(timeout_s_max, [_TIMEOUT, _KEY]),
            "requestBody": _body(offer, arguments),
        }
        if keeps:
            post["parameters"].append(_PREFER)
            post["responses"]["202"] = {**_kept("Accepted; Location tells where the call is found"), "links": _LINKS}
        path = paths[f"/v1/call/{service}/{method}"] = {"post": post}
        if offer.read_only:
            parameters = _headers(timeout_s_max, [_TIMEOUT]) + ([] if offer.raw else _query(arguments))
            path["get"] = {**_operation(offer, "read", result), "parameters": parameters}
    if keeps:
        schemas["Kept"] = _KEPT
        paths["/v1/calls/{id}"] = _found("state", {"200": _kept("How it stands")})
        paths["/v1/calls/{id}/answer"] = _found(
            "answer", {"200": {"description": "As it was answered"}, "202": _kept("It has not ended")}
        )
    whole: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Methods of the live servers of this mesh", "version": version},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if secured:
        whole["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        whole["security"] = [{"token": []}]
    return whole


def _kept(what: str) -> dict[str, Any]:
    return {"description": what, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Kept"}}}}


def _found(what: str, responses: dict[str, Any]) -> dict[str, Any]:
    """Return the path of a call that is answered later."""
    answers = {**responses, "default": _FAILED}
    return {"get": {"operationId": f"{what}-of-call", "tags": ["later"], "parameters": [_ID], "responses": answers}}


def _schemas(
    offer: Offer, schema: Mapping[str, Any] | None, shared: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the schemas of arguments and result; what they refer to is put among the shared ones, under its method."""
    if schema is None or offer.raw:
        return {}, {}
    prefix = f"#/components/schemas/{offer.name}."
    arguments = dict(schema.get("arguments", {}))
    # Python takes more of them only after all in order, and an object has none in order.
    arguments["properties"] = {key: value for key, value in arguments.get("properties", {}).items() if key != _REST}
    for name, value in schema.get("$defs", {}).items():
        shared[f"{offer.name}.{name}"] = _moved(value, prefix)
    return _moved(arguments, prefix), _moved(schema.get("result", {}), prefix)


def _moved(schema: Any, prefix: str) -> Any:
    """Return a schema whose references lead to where the shared ones are now."""
    if isinstance(schema, list):
        return [_moved(item, prefix) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: prefix + value.removeprefix("#/$defs/")
        if key == "$ref" and isinstance(value, str)
        else _moved(value, prefix)
        for key, value in schema.items()
    }


def _operation(offer: Offer, verb: str, result: Mapping[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": result}}
    if offer.raw:
        content = {_OCTETS: {}, "multipart/mixed": {}}
    summary, _, rest = offer.description.partition("\n")
    return {
        "operationId": f"{verb}-{offer.name}",
        "summary": summary or offer.signature,
        "description": f"{rest.strip()}\n\n`{offer.signature}`".strip(),
        "tags": [offer.service],
        "responses": {"200": {"description": "Answered", "content": content}, "default": _FAILED},
    }


def _headers(timeout_s_max: float, parameters: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {**parameter, "schema": {**parameter["schema"], "maximum": timeout_s_max}}
        if parameter is _TIMEOUT
        else parameter
        for parameter in parameters
    ]


def _body(offer: Offer, arguments: Mapping[str, Any]) -> dict[str, Any]:
    if offer.raw:
        return {"content": {_OCTETS: {}, "multipart/mixed": {}}}
    return {"required": bool(arguments.get("required")), "content": {"application/json": {"schema": arguments}}}


def _query(arguments: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of a query: numbers and the like as they are, what has parts as JSON."""
    required = arguments.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, **_carried(schema)}
        for name, schema in arguments.get("properties", {}).items()
    ]


def _carried(schema: Mapping[str, Any]) -> dict[str, Any]:
    if schema.get("type") in ("string", "integer", "number", "boolean"):
        return {"schema": schema}
    return {"content": {"application/json": {"schema": schema}}}
