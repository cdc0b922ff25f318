"""The same way with mosquitto: a broker that keeps messages on disk and hands them to another one by a QoS 1 bridge.

Needs the Debian package mosquitto and paho-mqtt. A message counts when a subscriber of the far broker has it (QoS 1).
Mosquitto writes its store when it ends, or every `autosave_interval` seconds or messages, and never with an fsync: it
promises less than a spool does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from tests.helpers import free_port

__all__ = ["Mosquitto"]

_OCTETS = 200
_TOPIC = "records"
_WAIT_S = 300.0
_NEAR = """\
listener {near} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/near/
autosave_interval 1
max_inflight_messages 1000
max_queued_messages 0
connection far
address 127.0.0.1:{far}
topic # out 1
cleansession false
"""
_FAR = """\
listener {far} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {folder}/far/
autosave_interval 1
max_inflight_messages 1000
max_queued_messages 0
"""


class Mosquitto:
    """Two brokers for each measurement. Raises RuntimeError: something that it needs is not installed."""

    def __init__(self) -> None:
        self._program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
        if self._program is None:
            raise RuntimeError("mosquitto is not installed; install Debian's package mosquitto")
        try:
            self._paho: Any = import_module("paho.mqtt.client")
        except ImportError:
            raise RuntimeError("paho-mqtt is not installed; install it with pip") from None

    def measure(self, folder: Path, group: int, records: int) -> float:
        """Return how many records a second get from a publisher to a subscriber of the far broker.

        A group is published, and the next one when the near broker has acknowledged all of it (PUBACK).
        """
        near, far = free_port(), free_port()
        arrived, count = threading.Event(), 0

        def on_message(client: Any, data: Any, message: Any) -> None:
            nonlocal count
            count += 1
            if count >= records:
                arrived.set()

        with (
            self._broker(folder, "far", _FAR, near, far),
            self._broker(folder, "near", _NEAR, near, far),
            self._client(far) as reader,
            self._client(near) as writer,
        ):
            reader.on_message = on_message
            reader.subscribe(_TOPIC, qos=1)
            time.sleep(0.5)  # SUBACK, and the bridge
            body = os.urandom(_OCTETS)
            begun = time.perf_counter()
            for _ in range(records // group):
                for info in [writer.publish(_TOPIC, body, qos=1) for _ in range(group)]:
                    info.wait_for_publish(_WAIT_S)
            if not arrived.wait(_WAIT_S):
                raise RuntimeError(f"mosquitto delivered {count} of {records} messages in {_WAIT_S:g} s")
            return records / (time.perf_counter() - begun)

    @contextlib.contextmanager
    def _broker(self, folder: Path, name: str, settings: str, near: int, far: int) -> Iterator[None]:
        store = folder / name
        store.mkdir()
        if os.geteuid() == 0:  # it becomes another user
            shutil.chown(store, "mosquitto")
            folder.chmod(0o755)
        file = folder / f"{name}.conf"
        file.write_text(settings.format(near=near, far=far, folder=folder))
        assert self._program is not None
        process = subprocess.Popen(
            [self._program, "-c", str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    @contextlib.contextmanager
    def _client(self, port: int) -> Iterator[Any]:
        client = self._paho.Client(self._paho.CallbackAPIVersion.VERSION2)
        client.max_inflight_messages_set(1000)
        give_up_at = time.monotonic() + 10.0
        while True:
            try:
                client.connect("127.0.0.1", port)
                break
            except ConnectionRefusedError:
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.05)
        client.loop_start()
        try:
            yield client
        finally:
            client.disconnect()
            client.loop_stop()
