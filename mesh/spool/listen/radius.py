"""RADIUS accounting (RFC 2866): a packet is answered when its record is durable, and not before.

A client repeats a packet until it is answered. A repetition has the same identifier, authenticator, address and port,
and is recognised: it makes no second record, whether the first is durable already (then it is answered again) or not
yet. A client that counts up Acct-Delay-Time with each try sends another packet with another identifier each time (RFC
2866 section 5.2); so it makes another record, which has the same Acct-Session-Id, Acct-Status-Type and time of event.
What was durable and not answered yet when the process was killed comes again. The next one knows it by the records that
still wait; of one that has been delivered by then there will be a second record.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from mesh.spool.listen.accounting import AccountingRequest, PacketError, answer, is_genuine, read_request
from mesh.spool.listen.attributes import Attributes
from mesh.spool.listen.entry import encode_entry, peer_in, place, raw_of
from mesh.spool.listen.intake import Intake, Taken
from mesh.spool.listen.secrets import Secrets
from mesh.spool.listen.sockets import Where
from mesh.spool.listen.udp import Datagrams
from mesh.spool.listen.window import Seen, Window
from mesh.spool.record import SpoolRecord

__all__ = ["Radius"]

_REMEMBERED_S = 120.0
"""Longer than clients go on repeating."""
_REMEMBERED_MAX = 500_000
_RECALLED_MAX = 5000
"""Records that are looked at for packets of a process that was killed: what it had not answered was put last."""
_STREAM = "radius/"


class Radius(Datagrams):
    """Takes accounting packets; call `open`, `run` until `stop`, then `close`.

    Args:
        where: Address and port to bind.
        intake: Where records go; their stream is `radius/ADDRESS` of the client.
        method: Full name of the inbox method.
        secrets: Of the clients; packets of others are ignored, as RFC 2865 section 3 asks.
        attributes: Names and decodes attributes.
        clock: Unix seconds.
        newest: Yields the records that were put last and still wait, at most so many.
        on_trouble: Told in a sentence of packets that had to be ignored; it may be called for each.
    """

    def __init__(
        self,
        where: Where,
        intake: Intake,
        method: str,
        secrets: Secrets,
        attributes: Attributes,
        newest: Callable[[int], AsyncIterator[SpoolRecord]],
        clock: Callable[[], float] = time.time,
        on_trouble: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        super().__init__(where, intake, method)
        self._secrets = secrets
        self._attributes = attributes
        self._method = method
        self._newest = newest
        self._clock = clock
        self._on_trouble = on_trouble
        self._window = Window(_REMEMBERED_S, _REMEMBERED_MAX)
        self._received = self._repeated = self._ignored = self._answered = 0

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"radius {place(self.bound)}"

    def counts(self) -> dict[str, int]:
        """Return what was counted since it was opened."""
        return {
            "received": self._received,
            "repeated": self._repeated,
            "ignored": self._ignored,
            "answered": self._answered,
            "dropped": self.drops,
        }

    async def run(self) -> None:
        """Take in what comes, until `stop` and everything is durable and answered."""
        now = time.monotonic()
        async for record in self._newest(_RECALLED_MAX):
            age_s = self._clock() - record.at
            if record.method == self._method and record.stream.startswith(_STREAM) and age_s <= _REMEMBERED_S:
                self._recall(record.body, now)
        await super().run()

    def take(self, octets: bytes, peer: Where) -> Taken | None:
        """Return its record if it is genuine and new; answer it if it is known."""
        self._received += 1
        try:
            request, secret = self._checked(octets, peer)
        except PacketError as error:
            self._ignored += 1
            self._on_trouble(f"radius: a packet of {peer[0]} is ignored: {error}")
            return None
        key = (place(peer), request.identifier, request.authenticator)
        seen = self._window.meet(key, time.monotonic())
        if seen is not Seen.NEW:
            self._repeated += 1
            if seen is Seen.STORED:
                self._answer(request, secret, peer)
            return None
        body = encode_entry("radius", "udp", peer, (at := self._clock()), request.octets, self._fields(request, at))
        return Taken(f"{_STREAM}{peer[0]}", body, partial(self._stored, key, request, secret, peer))

    def _checked(self, octets: bytes, peer: Where) -> tuple[AccountingRequest, bytes]:
        """Return the request and the secret it was made with. Raises PacketError: it is to be ignored."""
        secret = self._secrets.find(peer[0])
        if secret is None:
            raise PacketError("it has no secret; give it one in the secret file")
        request = read_request(octets)
        if not is_genuine(request, secret):
            raise PacketError("its authenticator does not fit the secret; give both sides the same one")
        return request, secret

    def _fields(self, request: AccountingRequest, at: float) -> dict[str, Any]:
        attributes = self._attributes.decode(request.attributes)
        event, delay = attributes.get("Event-Timestamp"), attributes.get("Acct-Delay-Time")
        return {
            "code": "Accounting-Request",
            "identifier": request.identifier,
            "authenticator": request.authenticator.hex(),
            "time": event if isinstance(event, int) else at - (delay if isinstance(delay, int) else 0),
            "attributes": attributes,
        }

    def _recall(self, body: bytes, now: float) -> None:
        """Remember the packet of a record; one that somebody else has put is none."""
        try:
            request = read_request(raw_of(body))
            self._window.stored((peer_in(body), request.identifier, request.authenticator), now)
        except (ValueError, KeyError, TypeError, AttributeError):
            pass

    def _stored(self, key: object, request: AccountingRequest, secret: bytes, peer: Where) -> None:
        self._window.stored(key, time.monotonic())
        self._answer(request, secret, peer)

    def _answer(self, request: AccountingRequest, secret: bytes, peer: Where) -> None:
        self._answered += 1
        self.send(answer(request, secret), peer)
