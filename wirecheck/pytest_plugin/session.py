"""pytest: one item per check and node, from what was looked at.

A check's function is not called by pytest: `judge` calls it, over all looks, exactly as
`wirecheck run` does. The item turns the result into pytest's outcomes.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

import pytest

from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import Check
from wirecheck.evaluation.verdict import FAILED, USAGE
from wirecheck.pytest_plugin.bench import Bench
from wirecheck.pytest_plugin.options import given
from wirecheck.pytest_plugin.text import headline, message
from wirecheck.report import html
from wirecheck.report.comparison import comparison_sentence
from wirecheck.report.delivery import job_annotations
from wirecheck.report.gates import waiver_sentence, waivers_to_tell
from wirecheck.report.sentences import coverage_sentence
from wirecheck.run.interrupt import ending_like_ctrl_c
from wirecheck.run.request import SENTENCES, Request, status_of
from wirecheck.run.round import Visits
from wirecheck.snapshot.index import VisitRecord
from wirecheck.text import harmless

BENCH = pytest.StashKey[Bench]()
OUTCOME = "wirecheck.outcome"


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is opened yet: that waits for a check to be collected."""
    options = given(config)
    wanted = options.pop("output", ())
    config.stash[BENCH] = Bench(
        Request(**options),
        outputs=wanted,
        only_lists=bool(config.option.collectonly),
        # A live run always leaves what it saw, a replay only where it was told to.
        writes_reports="snapshot" not in options or "report_dir" in options,
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One item for each node, or one for the cluster."""
    check = getattr(metafunc.function, "wirecheck", None)
    if not isinstance(check, Check):
        return
    names = metafunc.config.stash[BENCH].node_names
    if check.scope == "cluster":
        metafunc.parametrize("cluster", [""], ids=[pytest.HIDDEN_PARAM])
    elif names:
        metafunc.parametrize("node", names, ids=names)
    else:
        metafunc.parametrize("node", [""], ids=[pytest.HIDDEN_PARAM])


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Node after node, so that one node's document is in memory at a time; then the cluster."""
    places = [place for place, item in enumerate(items) if check_of(item)]
    if not places:
        return
    bench = config.stash[BENCH]
    if bench.error:
        _leave(bench.error)
    ordered = sorted((items[place] for place in places), key=lambda i: (not node_of(i), node_of(i)))
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Look before the first item is run."""
    checks = dict.fromkeys(filter(None, map(check_of, session.items)))
    option = session.config.option
    is_broken = session.testsfailed and not option.continue_on_collection_errors
    if not checks or option.collectonly or is_broken:
        return (yield)
    with ending_like_ctrl_c():
        try:
            session.config.stash[BENCH].begin(tuple(checks), ReporterProgress(session.config))
        except SENTENCES as error:
            _leave(error)
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """What could not be looked at or understood is an error, which in pytest comes before."""
    if check := check_of(item):
        bench = item.config.stash[BENCH]
        result = bench.result(check, node_of(item))
        bench.count(result)
        if result.outcome is Outcome.WARN:
            item.user_properties.append((OUTCOME, str(Outcome.WARN)))
        if result.outcome is Outcome.ERROR:
            pytest.fail(message(check, result), pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Every other outcome, as pytest names it."""
    check = check_of(pyfuncitem)
    if check is None:
        return None
    bench = pyfuncitem.config.stash[BENCH]
    result = bench.result(check, node_of(pyfuncitem))
    match result.outcome:
        case Outcome.FAIL:
            pytest.fail(message(check, result), pytrace=False)
        case Outcome.WARN if bench.request.fail_on == "warn":
            pytest.fail(message(check, result), pytrace=False)
        case Outcome.WAIVED | Outcome.KNOWN:
            pytest.xfail(f"{result.outcome}: {headline(result)}")
        case Outcome.SKIP:
            raise pytest.skip.Exception(result.reason, _use_item_location=True)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Tests that are no checks may run in the same session: their failures count as well."""
    report = yield
    if report.failed and not check_of(item):
        item.config.stash[BENCH].others_failed = True
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> Any:
    """A warning passes, but is counted and shown apart."""
    properties = getattr(report, "user_properties", ())
    if report.when == "call" and report.passed and (OUTCOME, str(Outcome.WARN)) in properties:
        return "warned", "w", ("WARN", {"yellow": True})
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """The record of the session, its reports, and the exit status that says the same."""
    bench = session.config.stash[BENCH]
    bench.finish(interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)
    if bench.results is None or exitstatus in (pytest.ExitCode.INTERNAL_ERROR, USAGE):
        return
    session.exitstatus = FAILED if bench.others_failed else bench.results.ended.status


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    """At the very end: warnings, how much was looked at, and the verdict."""
    yield
    bench = config.stash[BENCH]
    if bench.results is None:
        return
    ended = bench.results.ended
    write = terminalreporter.write_line
    terminalreporter.ensure_newline()
    terminalreporter.section("wirecheck")
    for item in bench.results.items:
        if item.outcome is Outcome.WARN:
            write(f"WARN {item.check}[{item.node or 'cluster'}] - {headline(item)}", yellow=True)
    for note in bench.results.started.notes:
        write(f"Note: {note}")
    for waiver in waivers_to_tell(ended):
        write(f"Waiver: {harmless(waiver_sentence(waiver))}")
    if comparison := bench.results.comparison:
        write(f"{harmless(comparison_sentence(comparison))}.")
    write(coverage_sentence(ended.coverage))
    if bench.reports:
        write(f"reports: {bench.reports}")
    for line in job_annotations(bench.results):
        write(line)
    write(ended.verdict, bold=True, **{"green" if ended.status == 0 else "red": True})


@pytest.hookimpl(optionalhook=True)
def pytest_html_results_summary(prefix: list[str], session: pytest.Session) -> None:
    """The page of `wirecheck run`, above pytest-html's own table."""
    if results := session.config.stash[BENCH].results:
        prefix.append(html.render_fragment(results))


def check_of(item: pytest.Item) -> Check | None:
    """The check that the item is about, where it is about one."""
    check = getattr(getattr(item, "function", None), "wirecheck", None)
    return check if isinstance(check, Check) else None


def node_of(item: pytest.Item) -> str:
    """The node that the item is about; empty for the cluster."""
    return str(item.callspec.params.get("node", "")) if isinstance(item, pytest.Function) else ""


def _leave(error: Exception) -> NoReturn:
    """End the session with the error's sentence and its exit status."""
    sentence = " ".join([str(error), *getattr(error, "__notes__", ())])
    if status_of(error) == USAGE:
        raise pytest.UsageError(sentence)
    pytest.exit(sentence, returncode=status_of(error))


class ReporterProgress:
    """Tells of the looking in pytest's own output."""

    def __init__(self, config: pytest.Config) -> None:
        self._reporter = config.pluginmanager.get_plugin("terminalreporter")

    def say(self, sentence: str) -> None:
        """A line of its own, wherever the cursor is."""
        if self._reporter is not None:
            self._reporter.ensure_newline()
            self._reporter.write_line(sentence)

    def visits(self, _total: int) -> AbstractContextManager[Visits]:
        """Only visits that failed are worth a line."""
        return nullcontext(self)

    def visited(self, node: str, visit: VisitRecord) -> None:
        """Tell of the node if there is something to tell."""
        if not visit.status.reached:
            self.say(f"{node}: {visit.status}: {visit.reason}")
