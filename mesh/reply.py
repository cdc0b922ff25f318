"""What a call answers, with its story."""

from __future__ import annotations

from typing import Any

from mesh.core.calls import PendingCall
from mesh.core.wire import body_frames
from mesh.errors import Attempt
from mesh.typed import decode_result

__all__ = ["Reply"]


class Reply:
    """The answer to a request: its frames, who gave it, and how it was come by."""

    __slots__ = ("_call",)

    def __init__(self, call: PendingCall) -> None:
        """Wrap a call that was answered."""
        self._call = call

    @property
    def frames(self) -> list[bytes]:
        """Every frame of the answer."""
        return body_frames(self._call.body)

    @property
    def body(self) -> bytes:
        """The first frame of the answer, empty if there is none."""
        body = self._call.body
        return body if isinstance(body, bytes) else (body[0] if body else b"")

    @property
    def value(self) -> Any:
        """The result of a typed method. Raises RemoteProtocolError: the method is raw."""
        return decode_result(self._call.body)  # type: ignore[arg-type]

    @property
    def peer_id(self) -> str:
        """Identity of the server that answered."""
        conn = self._call.at
        return conn.server.peer_id if conn is not None else ""

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Every attempt, in order; the last one was answered."""
        return self._call.trace()

    @property
    def elapsed_s(self) -> float:
        """Seconds from the request to the answer."""
        return self._call.finished_at - self._call.started_at

    def __repr__(self) -> str:
        octets = sum(map(len, self.frames))
        return f"<Reply of {octets} octets from {self.peer_id} in {self.elapsed_s * 1000:.3g} ms>"
