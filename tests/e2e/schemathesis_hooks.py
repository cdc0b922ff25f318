"""What schemathesis leaves aside: see tests/e2e/test_gateway_schema.py. It imports this module by itself."""

from __future__ import annotations

from typing import Any

import schemathesis

__all__: list[str] = []


@schemathesis.hook
def before_load_schema(context: object, raw_schema: dict[str, Any]) -> None:
    """Take headers out, for a deadline of a millisecond and a key twice end calls as they should, and parts.

    Say what base64 looks like (RFC 4648 section 4), which contentEncoding does not.
    """
    _describe_base64(raw_schema)
    for path in raw_schema["paths"].values():
        for operation in path.values():
            operation["parameters"] = [one for one in operation["parameters"] if one["in"] != "header"]
            operation.get("requestBody", {}).get("content", {}).pop("multipart/mixed", None)


def _describe_base64(schema: Any) -> None:
    if isinstance(schema, dict) and schema.get("contentEncoding") == "base64":
        schema["pattern"] = "^([A-Za-z0-9+/]{4})*$"
    for part in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        _describe_base64(part)


@schemathesis.hook
def map_body(context: object, body: object) -> object:
    """Write 1.0 as 1: to JSON Schema it is an integer, to the mesh it is none."""
    return _integral(body)


def _integral(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _integral(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_integral(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
