"""Every regular expression of some packages, and texts on which a careless one takes forever.

A search tries a pattern at each position. If what it reads before it fails grows with the text, the
time grows with the square of its length. Such texts repeat a beginning of something that matches.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from string import Formatter
from typing import Any

AnyPattern = re.Pattern[str] | re.Pattern[bytes]

ROOT = Path(__file__).parents[1]
ANCHORED = {"match": "match", "fullmatch": "fullmatch"}
"""Methods that try a pattern at one position only; all others try it everywhere."""
FUNCTIONS = {
    "compile",
    "sub",
    "subn",
    "search",
    "match",
    "fullmatch",
    "findall",
    "finditer",
    "split",
}
SAMPLES = " a0A.:-/_,@\"'{}[]()<>\\\n\t=+éx$`!#|;~"
LONGEST = 60
REPEATED = 40
CHARACTERS = 3
"""As many of a class are tried: of white space also the end of a line."""


@dataclass(frozen=True)
class Expression:
    """A regular expression of a file, and the methods that the file's package calls on it."""

    place: str
    compiled: AnyPattern
    methods: frozenset[str]

    def run(self, text: str) -> None:
        """Apply it as the code does."""
        data: Any = text.encode() if isinstance(self.compiled.pattern, bytes) else text
        for method in self.methods:
            if method in ANCHORED:
                getattr(self.compiled, method)(data)
            else:
                self.compiled.sub(data[:0], data)


def expressions(folders: Sequence[str]) -> Iterator[Expression]:
    """Yield those of all files below the folders.

    Raises ValueError where one is neither a constant nor a module's attribute.
    """
    files = [path for each in folders for path in sorted((ROOT / each).rglob("*.py"))]
    trees = {path: ast.parse(path.read_text()) for path in files}
    everywhere = _called(list(trees.values()))
    for path, tree in trees.items():
        constants, here = _constants_of(tree), _called([tree])
        for name, call in _calls(tree):
            place = f"{path.relative_to(ROOT)}:{call.lineno}"
            function = call.func.attr if isinstance(call.func, ast.Attribute) else ""
            source = _text(call.args[0], constants)
            known = _compiled(path, name) if source is None else [re.compile(source, _flags(call))]
            if not known:
                raise ValueError(f"{place}: the pattern is not a constant: {ast.unparse(call)}")
            # One in a table is used by the name of a loop's variable.
            called = (here if name.startswith("_") else everywhere).get(name)
            methods = called or here.get("pattern") or {"sub"}
            used = methods if function == "compile" else {function}
            yield from (Expression(place, each, frozenset(used)) for each in known)


def _compiled(path: Path, name: str) -> list[AnyPattern]:
    """What a module's attribute is: a pattern that was made of parts, or a table of patterns."""
    module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    value = getattr(module, name, None) if name else None
    values = value.values() if isinstance(value, dict) else [value]
    return [each for each in values if isinstance(each, re.Pattern)]


def _called(trees: Sequence[ast.AST]) -> dict[str, set[str]]:
    """The methods that are called on each name, such as `match` for `NAME.match(text)`."""
    found: dict[str, set[str]] = {}
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            name = owner.attr if isinstance(owner, ast.Attribute) else getattr(owner, "id", "")
            if name and node.func.attr in FUNCTIONS:
                found.setdefault(name, set()).add(node.func.attr)
    return found


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Each call of a function of `re`, with the name that its result is assigned to."""
    names = {
        id(inner): getattr(node.targets[0], "id", getattr(node.targets[0], "attr", ""))
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for inner in ast.walk(node.value)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            is_of_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
            if is_of_re and node.func.attr in FUNCTIONS:
                yield names.get(id(node), ""), node


def _constants_of(tree: ast.AST) -> dict[str, str | bytes]:
    return {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value.value, str | bytes)
    }


def _text(node: ast.expr, constants: dict[str, str | bytes]) -> str | bytes | None:
    """The pattern: a constant, a name of one, or one with names put in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
        return node.value
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        template = _text(node.func.value, constants)
        if node.func.attr == "replace" and isinstance(template, str):
            return template.replace("DEVICES", "veth|tap")
        if node.func.attr == "format" and isinstance(template, str):
            fields = [field for _, field, _, _ in Formatter().parse(template) if field]
            return template.format(**dict.fromkeys(fields, "x"))
    return None


def _flags(call: ast.Call) -> int:
    named = [each.attr for arg in call.args[1:] for each in ast.walk(arg)
             if isinstance(each, ast.Attribute)]  # fmt: skip
    return sum(int(getattr(re, each)) for each in set(named) if each.isupper())


def pumped(compiled: AnyPattern, length: int) -> Iterator[str]:
    """Yield texts of about a length, each with the same pump whatever the length."""
    for before, unit, after in _pumps(compiled):
        yield before + unit * (length // len(unit)) + after


def _pumps(compiled: AnyPattern) -> Iterator[tuple[str, str, str]]:
    source = compiled.pattern
    text = source.decode("latin-1") if isinstance(source, bytes) else source
    tree = parser.parse(
        text, compiled.flags & ~re.UNICODE if isinstance(source, bytes) else compiled.flags
    )
    found: dict[tuple[str, str], None] = {}
    for branch in range(_branches(tree)):
        sample = _sample(tree, branch, {})[:LONGEST]
        for end in range(1, len(sample) + 1):
            found[("", sample[:end])] = None
            found[(sample[: end - 1], sample[end - 1])] = None
            found[(sample[: max(end - 2, 0)], sample[max(end - 2, 0) : end])] = None
    # What stops it: a character that few patterns allow.
    yield from ((before, unit, "\x00") for before, unit in found)


def _branches(tree: Any) -> int:
    sizes = [len(value[1]) for code, value in tree if code is codes.BRANCH]
    inner = [_branches(each) for code, value in tree for each in _inside(code, value)]
    return max([CHARACTERS, *sizes, *inner])


def _inside(code: Any, value: Any) -> list[Any]:
    if code is codes.SUBPATTERN:
        return [value[3]]
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        return [value[2]]
    return list(value[1]) if code is codes.BRANCH else []


def _sample(tree: Any, branch: int, groups: dict[int, str]) -> str:
    """A text that the pattern matches, by one branch of each choice."""
    return "".join(_of_one(code, value, branch, groups) for code, value in tree)


def _of_one(code: Any, value: Any, branch: int, groups: dict[int, str]) -> str:
    if code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.POSSESSIVE_REPEAT):
        least, most, inner = value
        return _sample(inner, branch, groups) * min(max(least, 1), int(most), REPEATED)
    if code in (codes.IN, codes.NOT_LITERAL, codes.ANY):
        return _allowed(code, value, branch)
    if code is codes.SUBPATTERN:
        groups[value[0]] = _sample(value[3], branch, groups)
        return groups[value[0]]
    if code in (codes.ATOMIC_GROUP, codes.BRANCH):
        inner = value if code is codes.ATOMIC_GROUP else value[1][branch % len(value[1])]
        return _sample(inner, branch, groups)
    if code is codes.ASSERT and value[0] < 0:
        return _sample(value[1], branch, groups)  # What has to stand before it.
    # Of the rest, only these are text: others are conditions on what is beside it.
    return chr(value) if code is codes.LITERAL else _group(code, value, groups)


def _group(code: Any, value: Any, groups: dict[int, str]) -> str:
    return groups.get(value, "") if code is codes.GROUPREF else ""


def _allowed(code: Any, value: Any, branch: int) -> str:
    """A character that one item of the pattern allows, another one for each branch."""
    state = parser.State()
    items = parser.SubPattern(state, [(code, value)])
    single = re.compile(_unparsed(items), re.DOTALL)
    allowed = [each for each in SAMPLES if single.fullmatch(each)] or ["a"]
    return allowed[branch % len(allowed)]


def _unparsed(items: Any) -> str:
    ((code, value),) = items
    if code is codes.ANY:
        return "."
    if code is codes.NOT_LITERAL:
        return f"[^{re.escape(chr(value))}]"
    return f"[{''.join(map(_member, value))}]"


CATEGORIES = {
    codes.CATEGORY_DIGIT: r"\d",
    codes.CATEGORY_NOT_DIGIT: r"\D",
    codes.CATEGORY_SPACE: r"\s",
    codes.CATEGORY_NOT_SPACE: r"\S",
    codes.CATEGORY_WORD: r"\w",
    codes.CATEGORY_NOT_WORD: r"\W",
}


def _member(item: Any) -> str:
    code, value = item
    if code is codes.NEGATE:
        return "^"
    if code is codes.CATEGORY:
        return CATEGORIES[value]
    if code is codes.RANGE:
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    return re.escape(chr(value))
