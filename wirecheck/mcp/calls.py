"""Runs each call in a process of its own, with a time limit."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

import wirecheck
from wirecheck.mcp.worker import GRACE, MOST_BYTES, Call, Reply
from wirecheck.run.request import RequestError
from wirecheck.text import duration, harmless, shortened

if TYPE_CHECKING:
    import anyio.abc

Progress = Callable[[str], Awaitable[None]]
"""Receives each line that a call reports."""

LONGEST_LINE = 500
PROGRAM = "import sys; sys.path.append(sys.argv[1]); from wirecheck.mcp.worker import main; main()"


async def pages_from(call: Call, limit: float, progress: Progress) -> list[bytes]:
    """The pages of a call. Raises RequestError if it fails or takes more than `limit` seconds."""
    import anyio

    with tempfile.TemporaryDirectory(
        prefix="wirecheck-mcp-", ignore_cleanup_errors=True
    ) as scratch:
        output = bytearray()
        with anyio.move_on_after(limit) as scope:
            output = await _output_of(msgspec.structs.replace(call, scratch=scratch), progress)
        if scope.cancelled_caught:
            raise RequestError(
                f"`{call.tool}` took more than {duration(limit)} and was ended. Select fewer "
                "checks or nodes, or start the server with a longer --time-limit."
            )
    try:
        reply = msgspec.json.decode(output, type=Reply)
    except msgspec.DecodeError:
        raise RequestError(f"The process of `{call.tool}` ended without a result.") from None
    return pages_of_reply(reply)


def pages_of_reply(reply: Reply) -> list[bytes]:
    """Its pages. Raises RequestError with its sentence if it has none."""
    if reply.error:
        raise RequestError(reply.error)
    return [page.encode() for page in reply.pages]


async def _output_of(call: Call, progress: Progress) -> bytearray:
    import anyio

    # -P: the current folder is not searched for modules.
    root = str(Path(wirecheck.__file__).parents[1])
    process = await anyio.open_process(
        [sys.executable, "-P", "-c", PROGRAM, root], start_new_session=True
    )
    output = bytearray()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_report, process, progress)
            tasks.start_soon(_write, process, msgspec.json.encode(call))
            assert process.stdout is not None
            async for chunk in process.stdout:
                output += chunk
                if len(output) > 2 * MOST_BYTES:
                    break
            else:
                with anyio.move_on_after(GRACE):
                    await process.wait()
            # ssh may have left a process behind that keeps standard error open.
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)
    return output


async def _write(process: anyio.abc.Process, raw: bytes) -> None:
    import anyio

    assert process.stdin is not None
    with contextlib.suppress(anyio.BrokenResourceError):
        await process.stdin.send(raw + b"\n")


async def _report(process: anyio.abc.Process, progress: Progress) -> None:
    """Pass on standard error line by line."""
    assert process.stderr is not None
    rest = b""
    async for chunk in process.stderr:
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[: 4 * LONGEST_LINE]
        for line in lines:
            text = shortened(harmless(line.decode(errors="replace")), LONGEST_LINE)
            if text.strip():
                await progress(text)


async def _end(process: anyio.abc.Process) -> None:
    """End the process with its children: first as Ctrl-C would, then by force."""
    import anyio

    for number, grace in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with anyio.move_on_after(grace):
                await process.wait()
    await process.aclose()
