"""The process of one call: reads the call on standard input, and writes pages to standard output.

It ends with the server: standard input stays open until then. Its progress goes to standard error,
one line each.
"""

from __future__ import annotations

import gc
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import msgspec

from wirecheck.mcp.settings import Settings
from wirecheck.run.request import RequestError

MOST_BYTES = 64 << 20
"""All pages of one call."""
GRACE = 10.0
"""Seconds in which a call that is ended may close its connections to nodes."""
TOO_NESTED = "Something that was read is nested too deeply."


class Call(msgspec.Struct, frozen=True):
    """One call of a tool."""

    tool: str
    arguments: dict[str, object]
    settings: Settings
    scratch: str = ""
    """A folder that is removed when the call has ended."""


class Reply(msgspec.Struct, frozen=True):
    """Pages, or the sentence that says why there are none."""

    pages: list[str] = []
    error: str = ""


def reply_to(call: Call) -> Reply:
    """Answer a call. An exception becomes a sentence."""
    from wirecheck.cli.complaints import sentence_with_notes
    from wirecheck.cli.console import ConsoleProgress
    from wirecheck.mcp.answers import answer
    from wirecheck.mcp.arguments import read_arguments
    from wirecheck.mcp.pages import pages_of
    from wirecheck.run.request import SENTENCES

    try:
        arguments = read_arguments(call.tool, call.arguments)
        document = answer(arguments, call.settings, Path(call.scratch), ConsoleProgress())
        pages = pages_of(document)
        if sum(map(len, pages)) > MOST_BYTES:
            raise RequestError("The result has more than 64 MiB: select fewer checks or nodes.")
        return Reply([page.decode() for page in pages])
    except SENTENCES as error:
        return Reply(error=sentence_with_notes(error, str(error)))
    except KeyboardInterrupt:
        return Reply(error="The call was ended before there was a result.")
    except RecursionError:
        return Reply(error=TOO_NESTED)
    except OSError as error:
        return Reply(error=f"A file cannot be used: {error.strerror or type(error).__name__}.")
    except Exception as error:
        return Reply(error=f"wirecheck itself failed ({type(error).__name__}): a bug.")


def main() -> None:
    """Answer one call. Nothing but the reply goes to standard output."""
    from wirecheck.cli.complaints import former_names_in_plain_words
    from wirecheck.cli.main import GC_THRESHOLDS
    from wirecheck.run.interrupt import ending_like_ctrl_c

    gc.set_threshold(*GC_THRESHOLDS)
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        call = _read_call()
        with former_names_in_plain_words(), ending_like_ctrl_c():
            try:
                reply = reply_to(call)
            finally:
                _remove(call.scratch)
        out.write(msgspec.json.encode(reply))


def _read_call() -> Call:
    """The call: one line. When the server ends, so does this process."""
    raw = bytearray()
    while not raw.endswith(b"\n") and (chunk := os.read(0, 1 << 16)):
        raw += chunk
    server = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    call = msgspec.json.decode(raw, type=Call)
    threading.Thread(target=_end_with, args=(server, call.scratch), daemon=True).start()
    return call


def _end_with(server: int, scratch: str) -> None:
    """Wait for the end of the pipe; end as with Ctrl-C, or by force after `GRACE`."""
    while os.read(server, 1 << 10):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    _remove(scratch)
    os._exit(1)


def _remove(scratch: str) -> None:
    """Remove the folder of the call. The server does it too, unless it was killed."""
    if scratch:
        shutil.rmtree(scratch, ignore_errors=True)
