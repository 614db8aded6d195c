"""`make fuzz`: hostile texts for every reader. Counts them, and reports what must not happen.

python -m tests.fuzz [--inputs 1000000] [--seed 1] [--seconds 5] [NAME …]
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import Pool

from tests.fuzz.hostile_text import hostile_text
from tests.fuzz.patterns import modules, patterns
from tests.fuzz.regex_steps import growth
from tests.fuzz.targets import TARGETS, Target

MOST_GROWTH = 2.6
"""For a text of twice the length. A pattern that goes back at each character has 4."""
SHOWN = 300


class HungError(BaseException):
    """A reader took more CPU time than any text of its length may take."""


@dataclass(frozen=True)
class Outcome:
    """What a target did with its texts."""

    name: str
    inputs: int
    refused: int
    seconds: float
    fault: str = ""


def fuzzed(name: str, target: Target, inputs: int, seed: int, seconds: float) -> Outcome:
    """Read so many hostile texts; ends at the first one that must not have happened."""
    chance = random.Random(f"{seed} {name}")
    began = time.process_time()
    refused = 0
    for number in range(inputs):
        text = hostile_text(target.text, chance)
        fault = ""
        signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
        try:
            target.read(text)
        except target.errors:
            refused += 1
        except HungError:
            fault = f"more than {seconds:g} s"
        except Exception as error:
            fault = f"{type(error).__name__}: {error}"[:SHOWN]
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if fault:
            spent = time.process_time() - began
            return Outcome(name, number + 1, refused, spent, f"{fault} for {text[:SHOWN]!r}")
    return Outcome(name, inputs, refused, time.process_time() - began)


def growing(length: int) -> Iterator[str]:
    """The patterns that take more steps than their text grows, a sentence each."""
    sys.setrecursionlimit(50_000)
    for module in modules():
        for each in patterns(module):
            worst, text = growth(each.pattern, searches=each.searches, length=length)
            if worst > MOST_GROWTH:
                yield f"{module}.{each.name}: {worst:.1f} times as many steps for {text[:60]!r}"


def hang(*_: object) -> None:
    """The handler of the CPU time's alarm."""
    raise HungError


def _fuzzed(given: tuple[str, int, int, float]) -> Outcome:
    signal.signal(signal.SIGVTALRM, hang)
    name, *limits = given
    return fuzzed(name, TARGETS[name], *limits)  # type: ignore[arg-type]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all targets, or those that are named; the exit status is 1 if any has a fault."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("names", nargs="*", metavar="NAME", help="targets; all of them by default")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="texts for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="CPU time for one text")
    parser.add_argument("--length", type=int, default=48, help="of texts for patterns; 0 for none")
    options = parser.parse_args(arguments)
    faults = 0
    work = [
        (name, options.inputs, options.seed, options.seconds) for name in options.names or TARGETS
    ]
    with Pool() as pool:
        for each in pool.imap_unordered(_fuzzed, work):
            faults += bool(each.fault)
            print(
                f"{each.name:26} {each.inputs:>9,} texts, {each.refused:>9,} refused, "
                f"{each.seconds:7.1f} s {each.fault}",
                flush=True,
            )
    if options.length and not options.names:
        for sentence in growing(options.length):
            faults += 1
            print(sentence, flush=True)
    return min(faults, 1)


if __name__ == "__main__":
    sys.exit(main())
