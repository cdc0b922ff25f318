"""Chromium without a window, driven over its own protocol (DevTools) through two pipes: no port, no library."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from types import TracebackType
from typing import Any, Self

__all__ = ["PROGRAM", "Browser"]

PROGRAM = "chromium"
"""What has to be on PATH; a package of Debian."""
_OPTIONS = (
    "--headless=new",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # small in containers
    "--disable-background-networking",  # it asks nobody but the page's host
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
    "--hide-scrollbars",
)
_ANSWER_S = 30.0


class Browser:
    """One page in a browser of its own, for the length of a `with` block.

    Args:
        width: Of the window, in pixels.
        height: The same.
    """

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mesh-browser-", ignore_cleanup_errors=True)
        commands, self._commands = os.pipe()
        self._answers, answers = os.pipe()
        # The browser reads commands from descriptor 3 and writes answers to 4; sh may know none above 9.
        shell = f'exec "$@" 3<&{commands} 4>&{answers}'
        options = [*_OPTIONS, f"--user-data-dir={self._folder.name}", f"--window-size={width},{height}"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # root has none
        program = shutil.which(PROGRAM)
        assert program is not None, f"there is no {PROGRAM} on PATH; apt-get install chromium"
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "bash", program, *options, "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(commands, answers),
            start_new_session=True,
        )
        os.close(commands)
        os.close(answers)
        self._read = b""
        self._number = 0
        self._session = ""
        self.complaints: list[str] = []
        """What the page wrote to the console as warnings and errors, and what it failed with."""
        self._size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}

    def __enter__(self) -> Self:
        """Open an empty page."""
        try:
            target = self.command("Target.createTarget", url="about:blank")["targetId"]
            self._session = self.command("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for part in ("Page", "Runtime", "Log"):
                self.command(f"{part}.enable")
            self.command("Emulation.setDeviceMetricsOverride", **self._size)
            self.prefer("light")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the browser."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)
        self._folder.cleanup()

    def open(self, url: str) -> None:
        """Go to a page, which loads on its own, and forget what others complained of."""
        self.command("Page.navigate", url="about:blank")
        self.complaints.clear()
        self.command("Page.navigate", url=url)

    def prefer(self, colours: str) -> None:
        """Have the user prefer `dark` or `light` colours."""
        self.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": colours}])

    def value(self, script: str) -> Any:
        """Return what an expression of JavaScript is worth in the page. Raises RuntimeError: it failed."""
        told = self.command("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in told:
            raise RuntimeError(f"{script}: {told['exceptionDetails']}")
        return told["result"].get("value")

    def wait(self, script: str, deadline_s: float = 20.0) -> float:
        """Return after how many seconds an expression became true. Raises TimeoutError: it did not, or failed."""
        began = time.monotonic()
        while not self.value(f"(() => {{ try {{ return Boolean({script}); }} catch {{ return false; }} }})()"):
            if time.monotonic() - began > deadline_s:
                text = self.value("document.body.innerText")
                raise TimeoutError(f"{script} was not true within {deadline_s:g} s; the page shows:\n{text}")
            time.sleep(0.02)
        return time.monotonic() - began

    def picture(self) -> bytes:
        """Return what the window shows, as PNG."""
        return base64.b64decode(self.command("Page.captureScreenshot", format="png")["data"])

    def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command of the DevTools protocol, and return its answer. Raises RuntimeError, TimeoutError."""
        self._number += 1
        asked: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._commands, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + _ANSWER_S
        while True:
            told = self._next(until)
            if told.get("id") == self._number:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']}")
                result: dict[str, Any] = told["result"]
                return result
            self._hear(told)

    def _next(self, until: float) -> dict[str, Any]:
        while b"\0" not in self._read:
            if not select.select([self._answers], [], [], max(0.0, until - time.monotonic()))[0]:
                raise TimeoutError(f"the browser did not answer within {_ANSWER_S:g} s")
            piece = os.read(self._answers, 1 << 20)
            if not piece:
                raise RuntimeError("the browser has ended")
            self._read += piece
        message, _, self._read = self._read.partition(b"\0")
        told: dict[str, Any] = json.loads(message)
        return told

    def _hear(self, told: dict[str, Any]) -> None:
        kind, given = told.get("method"), told.get("params", {})
        if kind == "Runtime.exceptionThrown":
            self.complaints.append(str(given["exceptionDetails"]))
        elif kind == "Log.entryAdded" and given["entry"]["level"] in ("warning", "error"):
            self.complaints.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")
        elif kind == "Runtime.consoleAPICalled" and given["type"] in ("warning", "error"):
            self.complaints.append(str(given["args"]))
