"""Putters, spools and a warehouse as processes that may be killed at any moment, and what they have left."""

from __future__ import annotations

import contextlib
import itertools
import logging
import multiprocessing
import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mesh import ClientConfig, Server, Spool
from mesh.spool.warehouse import Warehouse

__all__ = ["METHOD", "Part", "Scene", "deliver", "holder", "put", "serve", "stored"]

METHOD = "warehouse.ingest"
_fork = multiprocessing.get_context("fork")
"""A child begins with everything imported: a kill is followed by work within hundredths of a second."""


@dataclass(frozen=True)
class Scene:
    """Where everything is."""

    folder: Path
    port: int

    @property
    def spool(self) -> Path:
        """The spool's directory."""
        return self.folder / "spool"

    @property
    def db(self) -> Path:
        """The warehouse's file."""
        return self.folder / "warehouse.db"

    @property
    def endpoint(self) -> str:
        """Where the warehouse listens."""
        return f"tcp://127.0.0.1:{self.port}"

    def acknowledged(self, putter: int) -> Path:
        """Return the file that has a line for each record whose put has returned."""
        return self.folder / f"acknowledged-{putter}"


def put(scene: Scene, putter: int, life: int, pause_s: float) -> None:
    """Put records without end: single ones into a stream, groups without order; write down what was acknowledged."""
    rng = random.Random(f"{putter} {life}")
    log = os.open(scene.acknowledged(putter), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    numbers = itertools.count()
    with Spool(scene.spool, deliver=False) as spool:
        while True:
            stream = f"s{putter}" if rng.random() < 0.5 else ""
            bodies = [f"{putter} {life} {next(numbers)} {stream or '-'}" for _ in range(rng.choice((1, 1, 5, 50)))]
            spool.put_many(METHOD, [body.encode() for body in bodies], stream=stream)
            os.write(log, "".join(f"{body}\n" for body in bodies).encode())
            time.sleep(pause_s)


def deliver(scene: Scene) -> None:
    """Deliver without end."""
    logging.getLogger("mesh").setLevel(logging.ERROR)  # that the warehouse is away is no news here
    config = ClientConfig(dial_backoff_max_s=0.1)  # it is to find a warehouse that is back before it is killed again
    with Spool(scene.spool, servers=[scene.endpoint], discover=False, config=config):
        signal.pause()


def serve(scene: Scene) -> None:
    """Keep what is delivered without end."""
    with (
        Warehouse.in_table(scene.db) as warehouse,
        Server(warehouse.service, bind=scene.endpoint, name="warehouse", advertise=False),
    ):
        signal.pause()


@dataclass
class Part:
    """A process that is started again whenever it was killed."""

    kind: str
    start: Callable[[int], None]
    """What it does, given how often it was started before."""
    progress: Callable[[int], int | None]
    """Given its process id, a number that grows while it works; None while it cannot."""
    lives: int = 0
    _before: int | None = None
    _process: multiprocessing.process.BaseProcess | None = field(default=None, repr=False)

    @property
    def works(self) -> bool:
        """Whether it was seen to do something since it was started, or could do something."""
        assert self._process is not None
        assert self._process.pid is not None
        now = self.progress(self._process.pid)
        if self._before is None or now is None:
            self._before = now
        return now is not None and self._before is not None and now > self._before

    @property
    def ended(self) -> bool:
        """Whether it has ended by itself, which it must not."""
        return self._process is not None and self._process.exitcode is not None

    def begin(self) -> None:
        """Start it."""
        self._before = None
        self._process = _fork.Process(target=self.start, args=(self.lives,), daemon=True)
        self._process.start()
        self.lives += 1

    def kill(self) -> None:
        """Kill it if it runs, and return when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._process = None


def holder(lock: Path) -> int:
    """Return the process that holds a file by flock(2), 0 if none does."""
    with contextlib.suppress(FileNotFoundError):
        inode = str(lock.stat().st_ino)
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if fields[1] == "FLOCK" and fields[5].rpartition(":")[2] == inode:
                return int(fields[4])
    return 0


def stored(db: Path) -> int:
    """Return how many records a warehouse has on disk."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(f"file:{db}?mode=ro", uri=True)) as look,
    ):
        return int(look.execute("SELECT records FROM mesh_inbox").fetchone()[0])
    return 0
