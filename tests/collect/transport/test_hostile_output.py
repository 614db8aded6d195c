"""What a node prints beside its document: it costs time by its length, and memory by none."""

from __future__ import annotations

import threading

import pytest

from tests.fuzz.regex_steps import steps
from wirecheck.collect.transport import bounded_process, failures
from wirecheck.collect.transport.bounded_process import MOST_ERROR_BYTES, Finished, run_bounded
from wirecheck.collect.transport.errors import UnreachableError, UnrecognisedAnswerError
from wirecheck.collect.transport.failures import FAILURES, MOST_SAID, output_of
from wirecheck.inventory.file import AccessMethod

ACCESS = AccessMethod(node="n1", uri="ssh://root@192.0.2.1", address="192.0.2.1")
REPEATED = [
    "sudo:",
    "exec python3 ",
    "container ",
    "(Forbidden)",
    "pods ",
    "closed by UNKNOWN ",
    "\n",
]


def said(stderr: bytes) -> str:
    with pytest.raises((UnreachableError, UnrecognisedAnswerError)) as raised:
        output_of(ACCESS, Finished(1, b"", stderr))
    return str(raised.value)


@pytest.mark.parametrize("word", REPEATED)
def test_a_long_standard_error_is_cut(word: str) -> None:
    assert len(said(word.encode() * 100_000)) < 1000


@pytest.mark.parametrize(
    ("stderr", "cause"),
    [
        (b"x" * 90_000 + b"\nsudo: a password is required\n", "sudo requires a password"),
        (
            b"ssh: connect to host n1: Connection refused\n" + b"x" * 90_000,
            "refuses the connection",
        ),
        (b"Warning\n" * 9000 + b"exec: line 1: python3: not found\n", "python3 is not installed"),
    ],
)
def test_the_cause_is_found_at_both_ends(stderr: bytes, cause: str) -> None:
    assert cause in said(stderr)


def test_what_is_searched_is_as_short_as_for_standard_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths = []

    class Recorder:
        def is_in(self, output: str) -> bool:
            lengths.append(len(output))
            return False

    monkeypatch.setattr(failures, "FAILURES", [Recorder()])
    for stderr in (b"a" * 60_000, b"\xff" * 60_000, b"a", b""):
        said(stderr)

    assert max(lengths) <= MOST_SAID + 1
    assert len(lengths) == 4


@pytest.mark.parametrize("word", REPEATED)
def test_no_part_of_a_pattern_takes_more_than_its_share(word: str) -> None:
    for failure in FAILURES:
        for part in (part for parts in failure.patterns for part in parts):
            few, many = (steps(part, word * times, searches=True) for times in (20, 40))
            assert many <= 2.5 * few + 50, part.pattern


def test_the_parts_of_a_pattern_stand_in_one_line_and_in_order() -> None:
    (failure,) = [each for each in FAILURES if "requires a terminal" in each.cause]

    assert failure.is_in("x\nsudo: sorry, you must have a tty to run sudo")
    assert not failure.is_in("sudo: sorry\nyou must have a tty")
    assert not failure.is_in("you must have a tty, sudo: sorry")


def test_standard_error_keeps_its_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_process, "MOST_ERROR_BYTES", 20)
    script = "echo begin >&2; i=0; while [ $i -lt 99 ]; do echo line$i >&2; i=$((i+1)); done"

    finished = run_bounded(
        ["/bin/sh", "-c", script],
        seconds=60,
        most_bytes=1 << 20,
        called_off=threading.Event(),
    )

    assert finished.stderr == b"begin\nline" + b"97\nline98\n"
    assert MOST_ERROR_BYTES < 1 << 20
