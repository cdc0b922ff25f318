"""A store does what a few lists do, whatever is asked of it in whatever order, and counts right."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mesh import SpoolFull
from mesh.spool import schema
from mesh.spool.quota import Quota
from mesh.spool.ranges import Ranges
from mesh.spool.store import Store

_METHODS = ("a.b", "a.c", "b.c")
_RECORDS_MAX = 12
_SEQS = st.lists(st.integers(1, 40), max_size=12)
_STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(_METHODS), st.lists(st.binary(max_size=20), min_size=1, max_size=6)),
    st.tuples(st.just("settle"), st.sampled_from(_METHODS), _SEQS),
    st.tuples(st.just("refuse"), st.sampled_from(_METHODS), _SEQS),
    st.tuples(st.just("quarantine"), _SEQS),
    st.tuples(st.just("replay"), st.none() | _SEQS),
    st.tuples(st.just("purge"), st.sampled_from(("ready", "quarantined")), st.none() | _SEQS),
    st.tuples(st.just("reopen")),
)


class Model:
    """Records by number, with their methods and bodies, in two states."""

    def __init__(self, when_full: str) -> None:
        self.when_full = when_full
        self.ready: dict[int, tuple[str, bytes]] = {}
        self.quarantined: dict[int, tuple[str, bytes]] = {}
        self.put = self.delivered = self.dropped = 0

    def step(self, step: tuple[object, ...]) -> None:
        match step:
            case ("put", str(method), list(bodies)):
                excess = len(self.ready) + len(self.quarantined) + len(bodies) - _RECORDS_MAX
                if excess > 0 and self.when_full == "reject":
                    raise SpoolFull("full")
                for seq in sorted({**self.ready, **self.quarantined})[: max(0, excess)]:
                    self.ready.pop(seq, None)
                    self.quarantined.pop(seq, None)
                    self.dropped += 1
                for body in bodies:
                    self.put += 1
                    self.ready[self.put] = (method, body)
            case ("settle", str(method), list(seqs)):
                for seq in set(seqs):
                    if self.ready.get(seq, ("",))[0] == method:
                        del self.ready[seq]
                        self.delivered += 1
            case ("refuse", str(method), list(seqs)):
                self._move([seq for seq in seqs if self.ready.get(seq, ("",))[0] == method])
            case ("quarantine", list(seqs)):
                self._move(seqs)
            case ("replay", seqs):
                for seq in list(self.quarantined) if seqs is None else seqs:  # type: ignore[attr-defined]
                    if seq in self.quarantined:
                        self.ready[seq] = self.quarantined.pop(seq)
            case ("purge", state, seqs):
                of = self.ready if state == "ready" else self.quarantined
                for seq in list(of) if seqs is None else seqs:  # type: ignore[attr-defined]
                    self.dropped += of.pop(seq, None) is not None

    def _move(self, seqs: list[int]) -> None:
        for seq in seqs:
            if seq in self.ready:
                self.quarantined[seq] = self.ready.pop(seq)


def apply(store: Store, step: tuple[object, ...]) -> None:
    match step:
        case ("put", str(method), list(bodies)):
            store.change(store.putting(method, bodies, ""))
        case ("settle", str(method), list(seqs)):
            store.settle(method, Ranges.of(seqs))
        case ("refuse", str(method), list(seqs)):
            store.settle(method, [], dict.fromkeys(seqs, "no"))
        case ("quarantine", list(seqs)):
            reasons = dict.fromkeys(store.keys(seqs), "no")
            store.change(lambda transaction: transaction.quarantine(reasons))
        case ("replay", seqs):
            keys = None if seqs is None else store.keys(seqs)  # type: ignore[arg-type]
            store.change(lambda transaction: transaction.replay(keys))
        case ("purge", state, seqs):
            keys = None if seqs is None else store.keys(seqs)  # type: ignore[arg-type]
            store.change(lambda transaction: transaction.purge(state, keys))  # type: ignore[arg-type]


def is_refused(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except SpoolFull:
        return True
    return False


def compare(store: Store, model: Model) -> None:
    for state, expected in (("ready", model.ready), ("quarantined", model.quarantined)):
        entries = store.entries(1000, state)  # type: ignore[arg-type]
        found = {entry.seq: (entry.method, entry.record.body) for entry in entries if entry.record is not None}
        assert found == expected
    for method in _METHODS:
        fetched = [(record.seq, record.body) for record in store.fetch(method)]
        assert fetched == sorted((seq, body) for seq, (of, body) in model.ready.items() if of == method)
    stats = store.stats()
    assert (stats.ready, stats.quarantined) == (len(model.ready), len(model.quarantined))
    assert (stats.put, stats.delivered, stats.dropped) == (model.put, model.delivered, model.dropped)
    kept = [*model.ready.values(), *model.quarantined.values()]
    assert stats.octets == sum(48 + len(method) + len(body) for method, body in kept)
    with schema.snapshot(store._file.reader):
        schema.check_counters(store.directory, store._file.reader)
    assert store.floor() == min([*model.ready, *model.quarantined, model.put + 1])


@settings(max_examples=40)
@given(st.lists(_STEPS, max_size=25), st.sampled_from(("reject", "drop-oldest")))
def test_a_store_does_what_lists_do(steps: list[tuple[object, ...]], when_full: str) -> None:
    quota = Quota(_RECORDS_MAX, 1 << 20, when_full)  # type: ignore[arg-type]
    model = Model(when_full)
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name), quota)
        try:
            for step in steps:
                if step == ("reopen",):
                    store.close()
                    store = Store(Path(name), quota)
                    continue
                assert is_refused(partial(apply, store, step)) == is_refused(partial(model.step, step))
            compare(store, model)
        finally:
            store.close()
