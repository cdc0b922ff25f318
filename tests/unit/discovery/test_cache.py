"""What is remembered of peers in a file, and that nothing in such a file is trusted or fatal."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import Address, Peer, PeerCache
from discovery.cache import AGE_S_MAX

SCOPE = "default eth0"
PEER = Peer(
    "8f2c51d0a6b7",
    "Ann's sérver",
    ("echo", "time"),
    (Address("10.0.0.7", 5555), Address("fe80::1%eth0", 5555)),
    {"proto": "mesh/1", "realm": "default"},
    (),
    1,
    2,
)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> PeerCache:
    return PeerCache(str(tmp_path / "new" / "cache"), SCOPE, clock)


def path_of(cache: PeerCache) -> Path:
    """Return the file of a cache that was written; it is the only one."""
    [path] = Path(cache._folder).iterdir()
    return path


def peers(cache: PeerCache) -> list[Peer]:
    return [sighting.peer for sighting in cache.read()]


def another(number: int, **properties: str) -> Peer:
    return Peer(f"id-{number}", f"server-{number}", ("echo",), (Address("10.0.0.1", number + 1),), properties)


def test_peers_come_back_whole_from_a_file_that_nobody_else_reads(cache: PeerCache) -> None:
    assert peers(cache) == []
    cache.write([PEER])
    assert peers(cache) == [PEER]
    assert path_of(cache).stat().st_mode & 0o777 == 0o600
    assert path_of(cache).parent.stat().st_mode & 0o777 == 0o700


def test_who_is_seen_now_comes_before_who_was_seen_earlier(cache: PeerCache, clock: Clock) -> None:
    cache.write([another(1), another(2)])
    before = cache.read()
    clock.now += 60.0
    cache.write([another(2), another(3)], before)
    assert peers(cache) == [another(2), another(3), another(1)]


def test_who_was_not_seen_for_75_minutes_is_forgotten(cache: PeerCache, clock: Clock) -> None:
    cache.write([another(1)])
    clock.now += AGE_S_MAX - 1.0
    before = cache.read()
    cache.write([another(2)], before)
    clock.now += 2.0
    assert peers(cache) == [another(2)]


def test_who_will_only_be_seen_is_not_believed(cache: PeerCache, clock: Clock) -> None:
    cache.write([PEER])
    clock.now -= 1.0
    assert peers(cache) == []


def test_the_file_does_not_grow_without_end(cache: PeerCache) -> None:
    huge = another(0, **{f"key-{number}": "x" * 200 for number in range(30)})
    cache.write([huge, *(another(number, note="x" * 200) for number in range(1, 1000))])
    assert peers(cache) == [another(number, note="x" * 200) for number in range(1, 65)]


def test_scopes_do_not_see_each_other_and_their_files_go_with_their_peers(tmp_path: Path, clock: Clock) -> None:
    ours, theirs = (PeerCache(str(tmp_path), scope, clock) for scope in ("ours", "theirs"))
    theirs.write([PEER])
    [old] = tmp_path.iterdir()
    (tmp_path / "peers-folder").mkdir()
    (tmp_path / "notes").touch()
    for path in tmp_path.iterdir():
        os.utime(path, (clock.now, clock.now))
    assert peers(ours) == []
    ours.write([another(1)])
    assert (peers(ours), peers(theirs)) == ([another(1)], [PEER])
    clock.now += AGE_S_MAX + 1.0
    ours.write([another(1)])
    assert not old.exists()
    assert (tmp_path / "notes").exists()


def _fifo(path: Path) -> None:
    os.mkfifo(path)


BROKEN: list[Callable[[Path], object]] = [
    Path.touch,
    Path.mkdir,
    _fifo,
    lambda path: path.symlink_to("nowhere"),
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.write_bytes(b"\xff\xfe\x00"),
    lambda path: path.write_text("[" * 100_000),
    lambda path: path.write_bytes(b" " * 1_000_000 + path.with_name("kept").read_bytes()),
]


@pytest.mark.parametrize("spoil", BROKEN)
def test_what_is_no_cache_holds_nobody(cache: PeerCache, spoil: Callable[[Path], object]) -> None:
    cache.write([PEER])
    path = path_of(cache)
    path.rename(path.with_name("kept"))
    spoil(path)
    assert peers(cache) == []


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"scope": "other"},
        {"peers": None},
        {"peers": [7]},
        {"peers": {"a": 1}},
        {"peers": []},
    ],
)
def test_a_file_of_another_kind_holds_nobody(cache: PeerCache, change: dict[str, Any]) -> None:
    cache.write([PEER])
    path = path_of(cache)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert peers(cache) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(
    key=st.sampled_from(["seen_at", "id", "name", "services", "addresses", "properties", "priority", "weight"]),
    value=JSON,
)
def test_no_value_in_a_file_does_any_harm(tmp_path_factory: pytest.TempPathFactory, key: str, value: object) -> None:
    cache = PeerCache(str(tmp_path_factory.getbasetemp() / "harmless"), SCOPE)
    cache.write([PEER])
    path = path_of(cache)
    content = json.loads(path.read_text())
    content["peers"][0][key] = value
    path.write_text(json.dumps(content))
    for sighting in cache.read():
        hash(sighting.peer)
        cache.write([], [sighting])


def test_what_cannot_be_written_is_left(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        cache = PeerCache(str(folder), SCOPE)
        cache.write([PEER])
        assert peers(cache) == []


def test_a_file_that_cannot_take_the_place_of_the_old_one_leaves_nothing(tmp_path: Path) -> None:
    cache = PeerCache(str(tmp_path), SCOPE)
    cache.write([PEER])
    path = path_of(cache)
    path.unlink()
    path.mkdir()
    cache.write([PEER])
    assert path_of(cache).is_dir()
