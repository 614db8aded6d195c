"""Which tests a mutant has to face: those that touch its line, as many as fit into its time."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest

from testbed.mutants.draw import Mutant
from testbed.mutants.recording import Recording, Seconds

_Function = ast.FunctionDef | ast.AsyncFunctionDef


def touching(mutant: Mutant, sources: Mapping[str, str], recording: Recording) -> set[str]:
    """Return the tests that touch the mutant's statement.

    What runs on import (constants, defaults, decorators, fields of records) has no test of its own
    in the recording. It faces the tests of the function it belongs to, else those of its file's
    functions, else those of the files that import it.
    """
    tree = ast.parse(sources[mutant.file])
    statement, function = _place(tree, mutant.line)
    if function is None:
        found = _tests_of_module(mutant.file, sources, recording)
        return found | _tests_at(recording, mutant.file, _lines_of_lambdas(statement))
    if statement is function:
        return _tests_at(recording, mutant.file, _body(function))
    return _tests_at(recording, mutant.file, _own_lines(statement))


def select(
    tests: Iterable[str],
    seconds: Mapping[str, Seconds],
    budget: float,
    lines: Mapping[int, Sequence[str]],
) -> list[str]:
    """Choose tests for at most `budget` seconds, in the order in which they are to run.

    Tests of one file that run the same `lines` of the mutated file are alike. First the fastest of
    those that are alike is chosen, then of each the second, and so on. They run file by file, fast
    files first, so that fixtures are set up once.
    """
    wanted = sorted(tests, key=lambda each: (seconds[each].call, each))
    run = _lines_by_test(wanted, lines)
    alike: dict[tuple[str, frozenset[int]], list[str]] = defaultdict(list)
    setup: dict[str, float] = defaultdict(float)
    for test in wanted:
        file = _file(test)
        alike[file, run[test]].append(test)
        setup[file] = max(setup[file], seconds[test].setup)
    chosen: dict[str, list[str]] = defaultdict(list)
    left = budget
    cost_of_first = {each: seconds[those[0]].call + setup[each[0]] for each, those in alike.items()}
    for test in _turns([alike[each] for each in sorted(alike, key=cost_of_first.__getitem__)]):
        file = _file(test)
        cost = seconds[test].call + (0.0 if file in chosen else setup[file])
        if cost <= left or not chosen:
            left -= cost
            chosen[file].append(test)
    cost_of = {
        file: setup[file] + sum(seconds[test].call for test in those)
        for file, those in chosen.items()
    }
    order = sorted(chosen, key=cost_of.__getitem__)
    return [test for file in order for test in chosen[file]]


def _lines_by_test(
    tests: Iterable[str], lines: Mapping[int, Sequence[str]]
) -> dict[str, frozenset[int]]:
    found: dict[str, set[int]] = {test: set() for test in tests}
    for line, those in lines.items():
        for test in those:
            if test in found:
                found[test].add(line)
    return {test: frozenset(each) for test, each in found.items()}


def _turns(those: Sequence[Sequence[str]]) -> Iterator[str]:
    for turn in zip_longest(*those):
        yield from (each for each in turn if each is not None)


def _file(test: str) -> str:
    return test.partition("::")[0]


def _tests_at(recording: Recording, file: str, lines: Iterable[int]) -> set[str]:
    recorded = recording.lines.get(file, {})
    return {test for line in lines for test in recorded.get(line, ())}


def _tests_of_module(file: str, sources: Mapping[str, str], recording: Recording) -> set[str]:
    found = _tests_at(recording, file, _lines_in_functions(sources[file]))
    if found:
        return found
    module = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    importers = [name for name, source in sources.items() if module in _imports(source)]
    return {
        test
        for name in importers
        for test in _tests_at(recording, name, _lines_in_functions(sources[name]))
    }


def _lines_of_lambdas(statement: ast.stmt | None) -> set[int]:
    """Return the lines of a constant's functions, which tests run later."""
    lambdas = (node for node in ast.walk(statement or ast.Pass()) if isinstance(node, ast.Lambda))
    return {
        line
        for each in lambdas
        for line in range(each.body.lineno, (each.body.end_lineno or each.body.lineno) + 1)
    }


def _imports(source: str) -> set[str]:
    return {
        node.module
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom) and node.module
    }


def _lines_in_functions(source: str) -> set[int]:
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, _Function))
    return {line for function in functions for line in _body(function)}


def _body(function: _Function) -> range:
    return range(function.body[0].lineno, (function.end_lineno or function.lineno) + 1)


def _place(tree: ast.Module, line: int) -> tuple[ast.stmt | None, _Function | None]:
    """Return the innermost statement on the line, and the function whose body it is in.

    For a line of a function's decorators and defaults, both are that function.
    """
    statement: ast.stmt | None = None
    function: _Function | None = None
    body: Sequence[ast.stmt] = tree.body
    while found := next((each for each in body if _first(each) <= line <= _last(each)), None):
        statement = found
        if isinstance(found, _Function):
            function = found
            if line < found.body[0].lineno:
                break
        elif isinstance(found, ast.ClassDef):
            function = None
        body = _children(found)
    return statement, function


def _first(statement: ast.stmt) -> int:
    if isinstance(statement, _Function | ast.ClassDef):
        return min([statement.lineno, *(each.lineno for each in statement.decorator_list)])
    return statement.lineno


def _last(statement: ast.stmt) -> int:
    return statement.end_lineno or statement.lineno


def _children(statement: ast.stmt) -> list[ast.stmt]:
    """Return the statements within a compound one, those of all its branches."""
    found: list[ast.stmt] = []
    for node in ast.iter_child_nodes(statement):
        if isinstance(node, ast.stmt):
            found.append(node)
        elif isinstance(node, ast.ExceptHandler | ast.match_case):
            found.extend(node.body)
    return found


def _own_lines(statement: ast.stmt | None) -> Iterator[int]:
    """Yield the lines of a statement without those of the statements within it."""
    if statement is None:
        return
    within = {n for each in _children(statement) for n in range(_first(each), _last(each) + 1)}
    yield from (n for n in range(_first(statement), _last(statement) + 1) if n not in within)
