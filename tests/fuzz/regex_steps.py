"""Counts the steps that a backtracking matcher takes: growth shows without a clock.

It goes through a pattern as `re` does, from left to right and back, without the shortcuts that
`re` has for some literals. So it may count more, by a constant factor.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from re import _constants as constants  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

MOST = 40_000
"""Steps; what takes more is not counted to its end."""

Then = Callable[[int], bool]
CATEGORIES = {
    constants.CATEGORY_DIGIT: r"\d",
    constants.CATEGORY_NOT_DIGIT: r"\D",
    constants.CATEGORY_SPACE: r"\s",
    constants.CATEGORY_NOT_SPACE: r"\S",
    constants.CATEGORY_WORD: r"\w",
    constants.CATEGORY_NOT_WORD: r"\W",
}


class _TooManyError(Exception):
    pass


def parsed(pattern: re.Pattern[Any]) -> Any:
    """The pattern's parts, as `re` has them; of bytes as of text."""
    source = pattern.pattern
    if isinstance(source, bytes):
        return parser.parse(source.decode("latin-1"), pattern.flags | re.ASCII)
    return parser.parse(source, pattern.flags)


def steps(pattern: re.Pattern[Any], text: str, *, searches: bool) -> int:
    """How many steps it takes to match at the start, or to search the whole text."""
    counter = _Counter(text, pattern.flags)
    whole = list(parsed(pattern))
    try:
        for start in range(len(text) + 1 if searches else 1):
            counter.groups.clear()
            if counter.match(whole, 0, start, lambda _: True):
                break
    except _TooManyError:
        pass
    return counter.count


class _Counter:
    def __init__(self, text: str, flags: int) -> None:
        self.text = text
        self.flags = flags
        self.count = 0
        self.groups: dict[int, tuple[int, int]] = {}

    def match(self, parts: list[Any], at: int, position: int, then: Then) -> bool:
        """Whether the parts from `at` on match at the position, and `then` what follows."""
        self.count += 1
        if self.count > MOST:
            raise _TooManyError
        if at == len(parts):
            return then(position)
        kind, value = parts[at]

        def rest(end: int) -> bool:
            return self.match(parts, at + 1, end, then)

        if kind in SINGLE:
            return self._is(kind, value, position) and rest(position + 1)
        return bool(getattr(self, f"_{str(kind).lower()}")(value, position, rest))

    def _is(self, kind: Any, value: Any, position: int) -> bool:
        if position >= len(self.text):
            return False
        character = self.text[position]
        if self.flags & re.IGNORECASE:
            return _is(kind, value, character.lower(), self.flags) or _is(
                kind, value, character.upper(), self.flags
            )
        return _is(kind, value, character, self.flags)

    def _max_repeat(self, value: Any, position: int, rest: Then) -> bool:
        return any(rest(end) for end in self._ends(value, position, greedy=True))

    def _min_repeat(self, value: Any, position: int, rest: Then) -> bool:
        return any(rest(end) for end in self._ends(value, position, greedy=False))

    def _possessive_repeat(self, value: Any, position: int, rest: Then) -> bool:
        end = next(self._ends(value, position, greedy=True), None)
        return end is not None and rest(end)

    def _ends(self, value: Any, position: int, *, greedy: bool) -> Iterator[int]:
        least, most, item = value
        parts = list(item)
        if len(parts) == 1 and parts[0][0] in SINGLE:
            yield from self._ends_of_single(parts[0], (least, most), position, greedy=greedy)
            return
        stack = [(position, 0)]
        ends = []
        seen = set()
        while stack:
            at, times = stack.pop()
            self.count += 1
            if times >= least:
                if not greedy:
                    yield at
                else:
                    ends.append(at)
            if times < most and (at, min(times, least)) not in seen:
                seen.add((at, min(times, least)))
                found: list[int] = []
                self.match(parts, 0, at, lambda end: bool(found.append(end)))  # noqa: B023
                stack += [(end, times + 1) for end in found if end > at]
        yield from reversed(ends)

    def _ends_of_single(
        self, part: Any, limits: tuple[Any, Any], position: int, *, greedy: bool
    ) -> Iterator[int]:
        least, most = limits
        end = position
        while end - position < most and self._is(*part, end):
            self.count += 1
            end += 1
        ends = range(position + least, end + 1)
        yield from reversed(ends) if greedy else ends

    def _subpattern(self, value: Any, position: int, rest: Then) -> bool:
        group, _, _, item = value

        def close(end: int) -> bool:
            if group is not None:
                self.groups[group] = (position, end)
            return rest(end)

        return self.match(list(item), 0, position, close)

    def _branch(self, value: Any, position: int, rest: Then) -> bool:
        return any(self.match(list(each), 0, position, rest) for each in value[1])

    def _at(self, value: Any, position: int, rest: Then) -> bool:
        before, after = self.text[:position][-1:], self.text[position : position + 1]
        multiline = bool(self.flags & re.MULTILINE)
        borders = bool(re.match(r"\w", before)) is not bool(re.match(r"\w", after))
        holds = {
            constants.AT_BEGINNING: not before or (multiline and before == "\n"),
            constants.AT_BEGINNING_STRING: not before,
            constants.AT_END: not after
            or (after == "\n" and (multiline or position + 1 == len(self.text))),
            constants.AT_END_STRING: not after,
            constants.AT_BOUNDARY: borders,
            constants.AT_NON_BOUNDARY: not borders,
        }
        return holds[value] and rest(position)

    def _assert(self, value: Any, position: int, rest: Then) -> bool:
        return self._looks(value, position) and rest(position)

    def _assert_not(self, value: Any, position: int, rest: Then) -> bool:
        return not self._looks(value, position) and rest(position)

    def _looks(self, value: Any, position: int) -> bool:
        direction, item = value
        start = position if direction > 0 else position - item.getwidth()[0]
        return start >= 0 and self.match(list(item), 0, start, lambda _: True)

    def _groupref(self, value: Any, position: int, rest: Then) -> bool:
        start, end = self.groups.get(value, (0, 0))
        self.count += end - start
        same = self.text.startswith(self.text[start:end], position)
        return value in self.groups and same and rest(position + end - start)


SINGLE = (constants.LITERAL, constants.NOT_LITERAL, constants.ANY, constants.IN)


def _is(kind: Any, value: Any, character: str, flags: int) -> bool:
    """Whether one part matches one character."""
    if kind is constants.LITERAL:
        return ord(character) == value
    if kind is constants.NOT_LITERAL:
        return ord(character) != value
    if kind is constants.ANY:
        return character != "\n" or bool(flags & re.DOTALL)
    negates = value[0][0] is constants.NEGATE
    return negates is not any(_is_in(*each, character, flags) for each in value[negates:])


def _is_in(kind: Any, value: Any, character: str, flags: int) -> bool:
    if kind is constants.RANGE:
        return bool(value[0] <= ord(character) <= value[1])
    if kind is constants.CATEGORY:
        return re.match(CATEGORIES[value], character, flags & re.ASCII) is not None
    return ord(character) == value


LETTERS = "a0 \n\"'\\-.:/[{,(#=A"
EXAMPLES = (*LETTERS, *map(chr, range(33, 127)))
LONG = 8
"""Characters of a word that is repeated less often."""
FILLER = "\x00"
"""Matches nothing that a pattern names."""


def hostile_texts(pattern: re.Pattern[Any], length: int) -> Iterator[str]:
    """Texts that begin as the pattern does, and then repeat something `length` times."""
    whole = list(parsed(pattern))
    ends = [at for at, (kind, _) in enumerate(whole) if kind is not constants.LITERAL]
    starts = dict.fromkeys(example(whole[:end], pattern.flags) for end in [*ends, len(whole)])
    words = dict.fromkeys([*LETTERS, *filter(None, starts), *_repeated(whole, pattern.flags)])
    for start in starts:
        for word in words:
            yield start + word * (length if len(word) < LONG else length // 2) + FILLER


def _repeated(parts: list[Any], flags: int) -> Iterator[str]:
    """An example of each part that is repeated, and of each alternative."""
    for kind, value in parts:
        if kind in (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT):
            yield example(list(value[2]), flags) or "a"
            yield from _repeated(list(value[2]), flags)
        elif kind is constants.BRANCH:
            for each in value[1]:
                yield example(list(each), flags) or "a"
                yield from _repeated(list(each), flags)
        elif kind is constants.SUBPATTERN:
            yield from _repeated(list(value[3]), flags)


def example(parts: list[Any], flags: int) -> str:
    """A text that the parts match, with the fewest repetitions but at least one; roughly."""
    found = ""
    for kind, value in parts:
        if kind in SINGLE:
            letters = [chr(value)] if kind is constants.LITERAL else EXAMPLES
            found += next(each for each in letters if _is(kind, value, each, flags))
        elif kind in (constants.MAX_REPEAT, constants.MIN_REPEAT, constants.POSSESSIVE_REPEAT):
            found += example(list(value[2]), flags) * max(1, value[0])
        elif kind is constants.SUBPATTERN:
            found += example(list(value[3]), flags)
        elif kind is constants.BRANCH:
            found += example(list(value[1][0]), flags)
        elif kind is constants.GROUPREF:
            found += "a"
    return found


def growth(pattern: re.Pattern[Any], *, searches: bool, length: int = 32) -> tuple[float, str]:
    """By how much the steps grow when a hostile text doubles, at worst, and with which text."""
    worst, where = 0.0, ""
    for long, short in zip(
        hostile_texts(pattern, 2 * length), hostile_texts(pattern, length), strict=True
    ):
        most = steps(pattern, long, searches=searches)
        if most > FEW_PER_CHARACTER * len(long):
            ratio = most / max(1, steps(pattern, short, searches=searches))
            ratio *= 2 * len(short) / len(long)
            if ratio > worst:
                worst, where = ratio, long
    return worst, where


FEW_PER_CHARACTER = 6
"""Steps that are not worth a second look."""
