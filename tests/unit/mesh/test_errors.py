"""The tree of exceptions and the sentences they make."""

from __future__ import annotations

import pickle

import pytest

from mesh import errors
from mesh.errors import Attempt, CallError, CallTimeout, NoServer, RemoteError, Status


def _attempt(number: int) -> Attempt:
    return Attempt(f"id{number}", f"s{number}", f"tcp://h:{number}", 0.1, 0.25, "link lost")


def test_every_error_is_in_the_tree_at_the_top_of_the_module() -> None:
    tree = errors.__doc__ or ""
    for name in errors.__all__:
        kind = getattr(errors, name)
        if isinstance(kind, type) and issubclass(kind, Exception):
            assert issubclass(kind, errors.MeshError)
            assert name in tree


def test_what_the_standard_library_has_a_word_for_is_that_too() -> None:
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.LocalProtocolError, ValueError)
    assert issubclass(errors.NoServer, TimeoutError)
    assert issubclass(errors.CallTimeout, TimeoutError)


def test_statuses_are_grpcs() -> None:
    assert [status.value for status in Status] == list(range(17))
    assert (Status.OK, Status.UNAVAILABLE, Status.UNAUTHENTICATED) == (0, 14, 16)


def test_a_failed_call_tells_who_was_tried() -> None:
    error = CallTimeout("a.b: no answer within 1 s.", method="a.b", call_id=7, attempts=(_attempt(1), _attempt(2)))
    assert str(error) == (
        "a.b: no answer within 1 s. "
        "Tried s1 (tcp://h:1) after 0.250 s: link lost; s2 (tcp://h:2) after 0.250 s: link lost."
    )
    assert (error.method, error.call_id, error.elapsed_s) == ("a.b", 7, 0.0)


def test_only_the_last_five_attempts_are_told() -> None:
    text = str(CallError("No.", attempts=tuple(map(_attempt, range(8)))))
    assert "s2 " not in text
    assert "s3 " in text
    assert text.endswith("(3 earlier ones left out).")


def test_a_call_that_nobody_was_tried_for_says_only_why() -> None:
    assert str(NoServer("Nobody.")) == "Nobody."


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RemoteError("no", method="a.b", type="KeyError"), "a.b: UNKNOWN: KeyError: no"),
        (RemoteError("no", code=Status.NOT_FOUND), "NOT_FOUND: no"),
    ],
)
def test_a_remote_error_says_method_status_type_and_message(error: RemoteError, text: str) -> None:
    assert str(error) == text


def test_errors_without_keywords_can_be_sent_to_another_process() -> None:
    assert str(pickle.loads(pickle.dumps(RemoteError("no")))) == "UNKNOWN: no"
