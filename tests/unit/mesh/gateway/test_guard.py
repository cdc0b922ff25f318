"""Who is answered."""

from __future__ import annotations

import pytest

from mesh.gateway import guard as guard_module
from mesh.gateway.guard import Guard
from mesh.gateway.problem import Problem
from mesh.gateway.settings import GatewaySettings

TOKEN = b"0123456789abcdef"


def status(guard: Guard, path: str = "/v1/servers", address: str = "127.0.0.1", **headers: str) -> int:
    """Return the status with which a request is refused, 200 if it is not."""
    given = {"host": "localhost", **headers}
    try:
        guard.check(path, {name.replace("_", "-").encode(): value.encode() for name, value in given.items()}, address)
    except Problem as problem:
        return problem.status
    return 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 200),
        ("LocalHost.:8080", 200),
        ("127.0.0.1:8080", 200),
        ("workbench", 200),
        ("gate.example:443", 200),
        ("127.0.0.2", 421),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("localhost:80:80", 421),
        ("localhost:x", 421),
        ("[::1]", 421),
        ("", 400),
    ],
)
def test_its_own_names_and_the_address_in_use_are_taken(host: str, expected: int) -> None:
    guard = Guard(GatewaySettings(hosts=("Gate.Example",)), "workbench")
    assert [status(guard, host=host) for _ in range(2)] == [expected] * 2


def test_an_address_is_taken_where_it_was_asked_and_nowhere_else() -> None:
    guard = Guard(GatewaySettings(host="::", tokens=(TOKEN,)))
    assert status(guard, "/", "::1", host="[::1]:80") == 200
    assert status(guard, "/", "fe80::1%eth0", host="[fe80::1]") == 200
    assert status(guard, "/", "::1", host="127.0.0.1") == 421


def test_nobody_fills_the_memory_with_hosts() -> None:
    guard = Guard(GatewaySettings())
    for port in range(1000):
        assert status(guard, host=f"localhost:{port}") == 200
    assert len(guard._own_hosts) == guard_module._REMEMBERED_MAX


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"origin": "http://localhost"}, 200),
        ({"origin": "https://localhost"}, 200),
        ({"origin": "http://localhost:8080"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"sec_fetch_site": "none"}, 200),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "cross-site", "origin": "http://localhost"}, 403),
    ],
)
def test_pages_of_other_sites_are_refused(headers: dict[str, str], expected: int) -> None:
    guard = Guard(GatewaySettings())
    for path in ("/v1/call/calc/add", "/v1/events", "/openapi.json", "/metrics"):
        assert status(guard, path, **headers) == expected
    for path in ("/", "/page.js", "/healthz", "/readyz"):
        assert status(guard, path, **headers) == 200


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, 401),
        ("Bearer 0123456789abcdef", 200),
        ("bearer  0123456789abcdef ", 200),
        ("Bearer fedcba9876543210", 200),
        ("Bearer 0123456789abcde", 401),
        ("Bearer 0123456789abcdef0", 401),
        ("Bearer ", 401),
        ("Basic 0123456789abcdef", 401),
        ("0123456789abcdef", 401),
    ],
)
def test_one_of_the_tokens_is_asked_for(given: str | None, expected: int) -> None:
    guard = Guard(GatewaySettings(tokens=(TOKEN, b"fedcba9876543210")))
    headers = {} if given is None else {"authorization": given}
    assert status(guard, **headers) == expected
    assert status(guard, "/", **headers) == 200
