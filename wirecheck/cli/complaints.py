"""What the command line prints on standard error when it warns, or ends without results."""

from __future__ import annotations

import contextlib
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wirecheck.catalogue.former_ids import FormerNameWarning
from wirecheck.text import harmless_lines

_URL = re.compile(r"(https?://)(?:[^/\s'\"]*@)?([^/\s'\"()]+)/[^\s'\")]+", re.IGNORECASE)


def complain(sentence: str) -> None:
    """Print on standard error why there are no results."""
    with contextlib.suppress(OSError):  # the exit status says it all the same
        for line in harmless_lines(sentence):
            print(line, file=sys.stderr)


def without_secrets(message: str) -> str:
    """The message without the paths and passwords of URLs: a chat's URL is a secret.

    click quotes a word that it does not expect, as in `-o slack URL` without the equals sign.
    """
    return _URL.sub(r"\1\2/…", message)


@contextmanager
def former_names_in_plain_words() -> Iterator[None]:
    """Show a FormerNameWarning as its sentence alone, without the line of code that issued it."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_sentence(
            message: Warning | str, category: type[Warning], *place: Any, **more: Any
        ) -> None:
            if issubclass(category, FormerNameWarning):
                complain(f"Warning: {message}")
            else:
                show(message, category, *place, **more)

        warnings.showwarning = show_sentence
        yield


def sentence_with_notes(error: BaseException, sentence: str) -> str:
    """`sentence`, then the notes of the exception."""
    return " ".join([sentence, *getattr(error, "__notes__", ())])


def saved_traceback(error: BaseException) -> str:
    """Save the traceback of a bug and return the file's name: users need not read it.

    Where it cannot be saved, print it instead and return an empty name.
    """
    import tempfile
    import traceback

    lines = traceback.format_exception(error)
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="wirecheck-", suffix=".traceback.txt", delete=False, encoding="utf-8"
        ) as file:
            file.write("".join(lines).encode(errors="backslashreplace").decode())
    except OSError:
        complain("".join(lines))
        return ""
    return file.name
