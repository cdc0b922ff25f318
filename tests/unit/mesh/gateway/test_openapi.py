"""What can be called, as OpenAPI."""

from __future__ import annotations

import json
from typing import Any

from mesh.gateway.catalog import Offer
from mesh.gateway.openapi import document

SCHEMA = {
    "title": "geo.move",
    "arguments": {
        "type": "object",
        "properties": {
            "to": {"$ref": "#/$defs/Point"},
            "name": {"type": "string"},
            "*": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["to"],
        "additionalProperties": False,
    },
    "result": {"anyOf": [{"$ref": "#/$defs/Point"}, {"type": "null"}]},
    "$defs": {"Point": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Point"}}}},
}


def offer(name: str, **given: Any) -> Offer:
    settings = {"signature": f"{name}()", "description": "", "raw": False, "idempotent": True, "read_only": False}
    return Offer(name=name, service=name.partition(".")[0], **{**settings, **given})


def described(*offers: tuple[Offer, dict[str, Any] | None], secured: bool = False) -> dict[str, Any]:
    return document(offers, version="1.0.0", timeout_s_max=300.0, secured=secured, keeps=False)


def references(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {value["$ref"]} | references([*value.values()]) if "$ref" in value else references([*value.values()])
    return set().union(*map(references, value)) if isinstance(value, list) else set()


def test_a_typed_method_has_its_schemas_and_their_parts_are_its_own() -> None:
    told = described((offer("geo.move", description="Move.\n\nFar."), SCHEMA))
    post = told["paths"]["/v1/call/geo/move"]["post"]
    assert (post["operationId"], post["summary"], post["tags"]) == ("call-geo.move", "Move.", ["geo"])
    assert post["description"] == "Far.\n\n`geo.move()`"
    arguments = post["requestBody"]["content"]["application/json"]["schema"]
    assert arguments["properties"]["to"] == {"$ref": "#/components/schemas/geo.move.Point"}
    assert post["requestBody"]["required"]
    assert "get" not in told["paths"]["/v1/call/geo/move"]
    for reference in references(told):
        assert reference.removeprefix("#/components/schemas/") in told["components"]["schemas"]


def test_further_arguments_in_order_have_no_place_in_an_object() -> None:
    told = described((offer("geo.move"), SCHEMA))
    body = told["paths"]["/v1/call/geo/move"]["post"]["requestBody"]
    assert set(body["content"]["application/json"]["schema"]["properties"]) == {"to", "name"}


def test_a_method_that_changes_nothing_is_asked_by_get_too() -> None:
    get = described((offer("geo.move", read_only=True), SCHEMA))["paths"]["/v1/call/geo/move"]["get"]
    query = {one["name"]: one for one in get["parameters"] if one["in"] == "query"}
    assert (query["to"]["required"], query["name"]["required"]) == (True, False)
    assert query["name"]["schema"] == {"type": "string"}
    assert list(query["to"]["content"]) == ["application/json"]
    headers = [one["name"] for one in get["parameters"] if one["in"] == "header"]
    assert headers == ["Request-Timeout"]


def test_a_raw_method_takes_octets_and_parts() -> None:
    post = described((offer("geo.echo", raw=True), None))["paths"]["/v1/call/geo/echo"]["post"]
    assert set(post["requestBody"]["content"]) == {"application/octet-stream", "multipart/mixed"}
    assert set(post["responses"]["200"]["content"]) == {"application/octet-stream", "multipart/mixed"}


def test_a_method_whose_schema_nobody_tells_takes_anything() -> None:
    post = described((offer("geo.move"), None))["paths"]["/v1/call/geo/move"]["post"]
    assert post["requestBody"]["content"]["application/json"]["schema"] == {}


def test_a_token_is_told_of_where_one_is_asked_for() -> None:
    assert "security" not in described()
    told = described(secured=True)
    assert told["security"] == [{"token": []}]
    assert told["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_the_longest_deadline_is_told_and_the_document_is_json() -> None:
    told = described((offer("geo.move"), SCHEMA))
    (timeout, _) = [one for one in told["paths"]["/v1/call/geo/move"]["post"]["parameters"] if one["in"] == "header"][
        :2
    ]
    assert timeout["schema"] == {"type": "number", "minimum": 0.001, "maximum": 300.0}
    assert json.loads(json.dumps(told)) == told
