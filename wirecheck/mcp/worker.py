"""The process of one call: reads the call on standard input, and writes pages to standard output.

It can be ended at any time. Its progress goes to standard error, one line each.
"""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import msgspec

from wirecheck.mcp.settings import Settings
from wirecheck.run.request import RequestError

MOST_BYTES = 64 << 20
"""All pages of one call."""
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
        call = msgspec.json.decode(sys.stdin.buffer.read(), type=Call)
        with former_names_in_plain_words(), ending_like_ctrl_c():
            reply = reply_to(call)
        out.write(msgspec.json.encode(reply))
