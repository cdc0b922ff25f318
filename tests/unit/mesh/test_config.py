"""Settings are checked once, when they are made."""

from __future__ import annotations

import dataclasses

import pytest

from mesh.config import ClientConfig, Limits, ServerConfig
from mesh.errors import ConfigError

NUMBERS = [
    (kind, field.name)
    for kind in (Limits, ClientConfig, ServerConfig)
    for field in dataclasses.fields(kind)
    if field.type in ("int", "float")
]


@pytest.mark.parametrize("kind", [Limits, ClientConfig, ServerConfig])
def test_the_defaults_can_be_used_and_do_not_change(kind: type) -> None:
    settings = kind()
    assert settings == kind()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.limits = None


@pytest.mark.parametrize(("kind", "name"), NUMBERS, ids=lambda value: getattr(value, "__name__", value))
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), True, "1", None], ids=repr)
def test_every_number_has_a_range_and_its_error_names_it(kind: type, name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"{kind.__name__}\.{name} is .*; it takes a number from ") as caught:
        kind(**{name: value})
    assert repr(value) in str(caught.value)


def test_the_longest_pause_is_no_shorter_than_the_first() -> None:
    with pytest.raises(ConfigError, match=r"dial_backoff_max_s is 0\.1, less than dial_backoff_min_s \(0\.5\)"):
        ClientConfig(dial_backoff_min_s=0.5, dial_backoff_max_s=0.1)


def test_inline_bodies_leave_room_in_a_head() -> None:
    with pytest.raises(ConfigError, match=r"Limits\.inline_max is 4000; it takes a number from 0 to 2048"):
        Limits(head_max=4096, inline_max=4000)
