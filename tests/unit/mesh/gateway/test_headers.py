"""What the headers of a call ask for."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.gateway.headers import idempotency_key, timeout_s, trace
from mesh.gateway.problem import Problem


@pytest.mark.parametrize(
    ("name", "text", "seconds"),
    [
        (b"request-timeout", b"2", 2.0),
        (b"request-timeout", b" 2.5 ", 2.5),
        (b"request-timeout", b"5e-3", 0.005),
        (b"request-timeout", b"300", 300.0),
        (b"grpc-timeout", b"2S", 2.0),
        (b"grpc-timeout", b"1M", 60.0),
        (b"grpc-timeout", b"250m", 0.25),
        (b"grpc-timeout", b"99999999n", 0.099999999),
        (b"grpc-timeout", b"1000u", 0.001),
    ],
)
def test_a_deadline_is_told_in_seconds_or_as_grpc_does(name: bytes, text: bytes, seconds: float) -> None:
    assert timeout_s({name: text}, 300.0) == pytest.approx(seconds)


def test_without_a_header_there_is_none() -> None:
    assert timeout_s({}, 300.0) is None


@pytest.mark.parametrize("text", [b"", b"0", b"-1", b"+1", b"1s", b"nan", b"inf", b"1_0", b"301", b"0.0009", b"1e999"])
def test_what_is_no_duration_or_too_long_is_refused(text: bytes) -> None:
    with pytest.raises(Problem) as caught:
        timeout_s({b"request-timeout": text}, 300.0)
    assert caught.value.status == 400
    assert str(caught.value).endswith("give 0.001 to 300 seconds, as in 2.5")


@pytest.mark.parametrize("text", [b"", b"5", b"1H", b"123456789m", b"1.5S", b"1s"])
def test_what_grpc_would_not_write_is_refused(text: bytes) -> None:
    with pytest.raises(Problem, match="as in 2500m"):
        timeout_s({b"grpc-timeout": text}, 300.0)


@pytest.mark.parametrize(
    ("text", "key"),
    [(b"abc", "abc"), (b'"abc"', "abc"), (b' "a\\"b\\\\c" ', 'a"b\\c'), (b"k" * 64, "k" * 64), (b'" "', " ")],
)
def test_a_key_stands_in_quotes_or_alone(text: bytes, key: str) -> None:
    assert idempotency_key({b"idempotency-key": text}, 64) == key


@pytest.mark.parametrize("text", [b"", b'""', b"k" * 65, b'"abc', b'a"b', b"\xff", b'"a\\x"'])
def test_a_key_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(Problem, match="give 1 to 64 printable ASCII characters"):
        idempotency_key({b"idempotency-key": text}, 64)


@example(b"\xb2")
@example(b"1" * 5000)
@given(st.binary(max_size=80))
def test_any_header_at_all_is_understood_or_refused(octets: bytes) -> None:
    def read(headers: dict[bytes, bytes]) -> object:
        try:
            return timeout_s(headers, 300.0) or idempotency_key(headers, 64)
        except Problem as problem:
            return json.loads(problem.body())["status"] == 400

    for name in (b"request-timeout", b"grpc-timeout", b"idempotency-key"):
        assert read({name: octets})


def test_a_trace_goes_on_with_all_that_belongs_to_it() -> None:
    headers = {b"traceparent": b"00-a-b-01", b"tracestate": b"x=1", b"baggage": b"k=v", b"cookie": b"secret"}
    assert trace(headers) == {"traceparent": "00-a-b-01", "tracestate": "x=1", "baggage": "k=v"}
    assert trace({b"tracestate": b"x=1"}) is None
