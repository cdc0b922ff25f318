"""How long calls took, by method and by how they ended."""

from __future__ import annotations

from mesh import CallTimeout, MeshError, NoServer, RemoteError, Status
from mesh.core.calls import PendingCall
from mesh.metrics.labels import OTHER
from mesh.metrics.recorder import CallRecorder


def ended(recorder: CallRecorder, method: str, error: MeshError | None = None, took_s: float = 0.02) -> None:
    recorder.finished(PendingCall(method, b"", 0, 100.0, 105.0, error=error), 100.0 + took_s)


def told(recorder: CallRecorder) -> dict[tuple[str, str, str], tuple[int, float]]:
    return {
        (method, status.name, kind): (durations.at_most[-1], round(durations.total_s, 6))
        for method, status, kind, durations in recorder.durations()
    }


def test_calls_are_told_apart_by_method_and_end() -> None:
    recorder = CallRecorder(10)
    ended(recorder, "calc.add")
    ended(recorder, "calc.add", took_s=0.03)
    ended(recorder, "calc.add", RemoteError("none", code=Status.NOT_FOUND))
    ended(recorder, "calc.add", CallTimeout("late"), took_s=5.0)
    assert told(recorder) == {
        ("calc.add", "OK", ""): (2, 0.05),
        ("calc.add", "NOT_FOUND", "NOT_FOUND"): (1, 0.02),
        ("calc.add", "DEADLINE_EXCEEDED", "CallTimeout"): (1, 5.0),
    }


def test_a_call_that_is_given_up_is_cancelled() -> None:
    recorder = CallRecorder(10)
    ended(recorder, "calc.add")
    recorder.abandoned(PendingCall("calc.add", b"", 0, 100.0, 105.0), 101.0)
    assert told(recorder)["calc.add", "CANCELLED", "CANCELLED"] == (1, 1.0)


def test_names_that_no_server_knows_do_not_become_labels() -> None:
    recorder = CallRecorder(10)
    for number in range(100):
        ended(recorder, f"made.up{number}", NoServer("nobody"))
        ended(recorder, f"made.up{number}", RemoteError("what?", code=Status.UNIMPLEMENTED))
    recorder.abandoned(PendingCall("made.up", b"", 0, 100.0, 105.0), 101.0)
    assert {method for method, _, _ in told(recorder)} == {OTHER}


def test_a_method_that_was_answered_keeps_its_name_when_it_is_not() -> None:
    recorder = CallRecorder(10)
    ended(recorder, "calc.add", RemoteError("by zero"))
    ended(recorder, "calc.add", NoServer("nobody"))
    assert ("calc.add", "UNAVAILABLE", "NoServer") in told(recorder)


def test_more_methods_than_that_share_one_name() -> None:
    recorder = CallRecorder(2)
    for method in ("a.a", "b.b", "c.c", "d.d"):
        ended(recorder, method)
    assert told(recorder)[OTHER, "OK", ""] == (2, 0.04)


def test_metadata_are_left_as_they_are() -> None:
    assert CallRecorder(1).sent(PendingCall("calc.add", b"", 0, 0.0, 1.0), {"a": "b"}) == {"a": "b"}
