"""A page in a real browser whose window has any size, and whose layout can be measured."""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.needs import PROGRAMS, find, need
from tests.report.chromium import FLAGS

(BROWSER,) = PROGRAMS["browser"]
PHONE = (360, 740)
A4 = (718, 1046)
"""190 mm by 277 mm at 96 dots per inch: a sheet with margins of 10 mm."""


class Browser:
    """One tab, driven over the pipe of the DevTools protocol."""

    def __init__(self, profile: Path) -> None:
        need("browser")
        # The browser reads commands from descriptor 3, and writes answers to 4.
        (theirs_in, ours_out), (ours_in, theirs_out) = _pipe(), _pipe()

        def take_pipes() -> None:
            os.dup2(theirs_in, 3)
            os.dup2(theirs_out, 4)

        flags = [flag for flag in FLAGS if "virtual-time" not in flag]
        self._process = subprocess.Popen(
            [str(find(BROWSER)), *flags, "--remote-debugging-pipe", f"--user-data-dir={profile}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=take_pipes,  # noqa: PLW1509 - no threads here
            close_fds=False,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._commands = os.fdopen(ours_out, "wb", buffering=0)
        self._answers = os.fdopen(ours_in, "rb")
        self._numbers = itertools.count(1)
        self._session = ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self.call("Page.enable")

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        self._process.wait(30)
        self._commands.close()
        self._answers.close()

    def call(self, method: str, **parameters: Any) -> Any:
        """Carry out one command, and return its result."""
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        self._commands.write(json.dumps(command).encode() + b"\0")
        while (answer := self._read()).get("id") != number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, file: Path, size: tuple[int, int], media: str = "screen") -> None:
        """Open the file in a window of this size, and wait until its scripts ran."""
        width, height = size
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Emulation.setEmulatedMedia", media=media)
        self.call("Page.navigate", url=file.as_uri())
        while self._read().get("method") != "Page.loadEventFired":
            pass

    def value(self, script: str) -> Any:
        """The value of the script in the page; a promise is waited for."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def _read(self) -> dict[str, Any]:
        raw = bytearray()
        while not raw.endswith(b"\0"):
            byte = self._answers.read(1)
            assert byte, "the browser ended"
            raw += byte
        return json.loads(raw[:-1])


def _pipe() -> tuple[int, int]:
    """Both ends, with numbers that the browser's 3 and 4 do not hit."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]
