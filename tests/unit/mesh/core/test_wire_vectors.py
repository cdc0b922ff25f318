"""The vectors of WIRE.md are true, and so is what it says of records and limits."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from mesh.config import Limits
from mesh.core.wire import MESH_PREFIX, Call, Cancel, Hello, Ping, Pong, Reply, body_frames, decode, encode
from mesh.errors import RemoteProtocolError

DOCUMENT = Path(__file__).parents[4] / "mesh" / "WIRE.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
KINDS = {1: Call, 2: Reply, 5: Cancel, 6: Ping, 7: Pong, 8: Hello}


class Vector(NamedTuple):
    """One fenced block of the document."""

    name: str
    frames: list[bytes]
    says: Any
    verdict: str


def vectors() -> list[Vector]:
    found = []
    for block in re.findall(r"^```vector\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        name, *lines, verdict = block.splitlines()
        parts = [line.partition(" ")[::2] for line in lines]
        frames = [bytes.fromhex(value) for key, value in parts if key in ("head", "body")]
        said = [json.loads(value) for key, value in parts if key == "says"]
        found.append(Vector(name, frames, said[0] if said else None, verdict))
    return found


VECTORS = vectors()


def as_json(value: object) -> object:
    """Write binaries as the document does."""
    if isinstance(value, bytes):
        return f"0x{value.hex()}"
    if isinstance(value, list):
        return [as_json(part) for part in value]
    if isinstance(value, dict):
        return {key: as_json(part) for key, part in value.items()}
    return value


def test_the_document_has_vectors_of_every_kind_and_verdict() -> None:
    assert len(VECTORS) >= 12
    assert {vector.verdict for vector in VECTORS} == {"canonical", "readable", "refused"}
    assert {record[0] for vector in VECTORS for record in vector.says or ()} >= set(KINDS)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_a_vector_is_true(vector: Vector) -> None:
    if vector.verdict == "refused":
        with pytest.raises(RemoteProtocolError):
            decode(vector.frames, Limits())
        return
    head = vector.frames[0]
    assert head.startswith(MESH_PREFIX)
    assert as_json(msgspec.msgpack.decode(head[len(MESH_PREFIX) :])) == vector.says
    message = decode(vector.frames, Limits())
    known = [record for record in vector.says if record[0] in KINDS]
    assert [type(record) for record in message.records] == [KINDS[record[0]] for record in known]
    assert message.unknown == len(vector.says) - len(known)
    for record, said in zip(message.records, known, strict=True):
        for field, value in zip(record.__struct_fields__, said[1:], strict=False):
            if field == "body":
                assert [as_json(frame) for frame in body_frames(record.body)] == outside(value, vector.frames)  # type: ignore[union-attr]
            elif field == "detail":
                assert value is None or {key: getattr(record.detail, key) for key in value} == value  # type: ignore[union-attr]
            else:
                assert as_json(getattr(record, field)) == value
    if vector.verdict == "canonical":
        assert encode(message.records, Limits()) == (vector.frames, len(message.records))


def outside(body: Any, frames: list[bytes]) -> list[object]:
    """Return the frames that a body of the document stands for."""
    return [
        as_json(frames[1 + part]) if isinstance(part, int) else part
        for part in (body if isinstance(body, list) else [body])
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_of_records_has_every_field_in_order(kind: int) -> None:
    [row] = [line for line in TEXT.splitlines() if line.startswith(f"| {kind} | {KINDS[kind].__name__.upper()} |")]
    assert tuple(re.findall(r"`(\w+)`", row)) == KINDS[kind].__struct_fields__


@pytest.mark.parametrize("limit", Limits.__dataclass_fields__)
def test_the_table_of_limits_has_every_limit_with_its_default(limit: str) -> None:
    [row] = [line for line in TEXT.splitlines() if line.startswith(f"| `{limit}` |")]
    number, _, unit = row.split("|")[2].strip().partition(" ")
    assert int(number) * {"": 1, "KiB": 1024, "MiB": 1024**2}[unit] == getattr(Limits(), limit)
