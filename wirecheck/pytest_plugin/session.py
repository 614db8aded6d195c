"""pytest's hooks: one item per check and node.

pytest does not call a check's function. A `ReportedRun` evaluates it over all rounds, exactly as
for `wirecheck run`, and the item turns the result into one of pytest's outcomes.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any, NoReturn

import pytest

from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import Check
from wirecheck.evaluation.verdict import fails
from wirecheck.pytest_plugin.items import CheckItems
from wirecheck.pytest_plugin.options import given, old_names
from wirecheck.pytest_plugin.text import headline, message
from wirecheck.report import html
from wirecheck.report.comparison import comparison_sentence
from wirecheck.report.delivery import job_annotations
from wirecheck.report.gates import (
    healing_sentences,
    wait_sentence,
    waiver_sentence,
    waivers_needing_attention,
)
from wirecheck.report.pasted_commands import with_options
from wirecheck.report.sentences import coverage_sentence
from wirecheck.results.exit_statuses import FAILED, USAGE
from wirecheck.results.ordering import FAILING
from wirecheck.results.records import ItemResult, Results
from wirecheck.run.interrupt import ending_like_ctrl_c
from wirecheck.run.progress import VisitProgress
from wirecheck.run.renamed_options import warn_of_option
from wirecheck.run.request import SENTENCES, Request, status_of
from wirecheck.snapshot.index import VisitRecord
from wirecheck.text import harmless

ITEMS = pytest.StashKey[CheckItems]()
SIGNALS = pytest.StashKey[ExitStack]()
OUTCOME = "wirecheck.outcome"


def pytest_configure(config: pytest.Config) -> None:
    """Prepare. The cluster is opened as soon as a check is collected."""
    config.stash[SIGNALS] = ExitStack()
    config.stash[SIGNALS].enter_context(ending_like_ctrl_c())
    options = given(config)
    wanted = options.pop("output", ())
    progress = ReporterProgress(config)
    for name in old_names(config):
        warn_of_option(name)
    config.stash[ITEMS] = CheckItems(
        Request(**options),
        progress,
        wanted,
        only_lists=bool(config.option.collectonly),
        # A live run always leaves what it saw; a replay only where a folder was named.
        has_folder="snapshot" not in options or "report_dir" in options,
    )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give the signals back to their former handlers."""
    config.stash[SIGNALS].close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One item for each node, or one for the cluster."""
    check = getattr(metafunc.function, "wirecheck", None)
    if not isinstance(check, Check):
        return
    names = metafunc.config.stash[ITEMS].node_names
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
    if error := config.stash[ITEMS].error:
        _leave(config, error)
    ordered = sorted((items[place] for place in places), key=lambda i: (not node_of(i), node_of(i)))
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Visit the nodes before the first item is run."""
    items = [(check, node_of(item)) for item in session.items if (check := check_of(item))]
    option = session.config.option
    is_broken = session.testsfailed and not option.continue_on_collection_errors
    if not items or option.collectonly or is_broken:
        return (yield)
    checks = tuple(dict.fromkeys(check for check, _ in items))
    try:
        names = [(check.id, node) for check, node in items]
        session.config.stash[ITEMS].observe(checks, names)
    except SENTENCES as error:
        _leave(session.config, error)
    except BaseException as error:
        session.config.stash[ITEMS].fail(error)
        raise
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail the set-up of an item with an error: pytest counts that as an error."""
    if check := check_of(item):
        items = item.config.stash[ITEMS]
        result = items.result(check, node_of(item))
        items.count(result)
        if result.outcome in (Outcome.FLAKY, Outcome.WARN):
            item.user_properties.append((OUTCOME, str(result.outcome)))
        if result.outcome is Outcome.ERROR:
            pytest.fail(_text(items, check, result), pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Every other outcome, as pytest names it."""
    check = check_of(pyfuncitem)
    if check is None:
        return None
    items = pyfuncitem.config.stash[ITEMS]
    result = items.result(check, node_of(pyfuncitem))
    match result.outcome:
        case Outcome.FAIL:
            pytest.fail(_text(items, check, result), pytrace=False)
        case Outcome.FLAKY | Outcome.WARN if fails(result.outcome, items.request.fail_on):
            pytest.fail(_text(items, check, result), pytrace=False)
        case Outcome.WAIVED | Outcome.KNOWN:
            pytest.xfail(f"{result.outcome}: {headline(result)}")
        case Outcome.SKIP:
            raise pytest.skip.Exception(result.reason, _use_item_location=True)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Count the failures of tests that are not checks: they may run in the same session."""
    report = yield
    if report.failed and not check_of(item):
        item.config.stash[ITEMS].others_failed = True
    return report


def pytest_report_teststatus(report: pytest.TestReport) -> Any:
    """A warning or a flaky item passes, but is counted and shown apart."""
    properties = getattr(report, "user_properties", ())
    if report.when == "call" and report.passed:
        if (OUTCOME, str(Outcome.FLAKY)) in properties:
            return "flaky", "~", ("FLAKY", {"yellow": True})
        if (OUTCOME, str(Outcome.WARN)) in properties:
            return "warned", "w", ("WARN", {"yellow": True})
    return None


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Make the results and the reports, and set the exit status accordingly."""
    items = session.config.stash[ITEMS]
    items.finish(interrupted=exitstatus == pytest.ExitCode.INTERRUPTED)
    if items.results is None or exitstatus in (pytest.ExitCode.INTERNAL_ERROR, USAGE):
        return
    if items.unwritten:
        session.exitstatus = USAGE
        return
    session.exitstatus = FAILED if items.others_failed else items.results.ended.status


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None, None, None]:
    """Show at the very end: warnings, the coverage, and the verdict."""
    yield
    items = config.stash[ITEMS]
    if items.results is None:
        return
    write = terminalreporter.write_line
    terminalreporter.ensure_newline()
    terminalreporter.section("wirecheck")
    for item in items.results.items:
        if item.outcome in (Outcome.FLAKY, Outcome.WARN):
            head = f"{str(item.outcome).upper()} {item.check}[{item.node or 'cluster'}]"
            write(f"{head} - {headline(item)}", yellow=True)
    for item in items.added:
        if item.outcome in FAILING and not item.folded:
            where = f"{item.check}[{item.node}], a node that was added while waiting"
            write(f"{str(item.outcome).upper()} {where} - {headline(item)}", red=True)
    for line in _notes(items.results):
        write(harmless(line))
    write(coverage_sentence(items.results.ended.coverage))
    if items.folder:
        write(f"reports: {items.folder}")
    if items.unwritten:
        write(items.unwritten, red=True)
    for line in job_annotations(items.results):
        write(line)
    ended = items.results.ended
    write(ended.verdict, bold=True, **{"green" if ended.status == 0 else "red": True})


def _notes(results: Results) -> Iterator[str]:
    """Notes for the reader, in addition to the items."""
    comparison, wait = results.comparison, results.ended.wait
    yield from (f"Note: {note}" for note in results.started.notes)
    for doubt in comparison.doubts if comparison else ():
        yield f"Doubtful baseline: {doubt}"
    for each in results.started.overrides:
        yield f"The inventory overrides {each.name}: {each.now}, was {each.was}."
    for waiver in waivers_needing_attention(results.ended):
        yield f"Waiver: {waiver_sentence(waiver)}"
    if wait:
        yield f"{wait_sentence(wait)}."
        yield from healing_sentences(wait)
    if comparison:
        yield f"{comparison_sentence(comparison)}."


@pytest.hookimpl(optionalhook=True)
def pytest_html_results_summary(prefix: list[str], session: pytest.Session) -> None:
    """The page of `wirecheck run`, above pytest-html's own table."""
    if results := session.config.stash[ITEMS].results:
        prefix.append(html.render_fragment(results))


def check_of(item: pytest.Item) -> Check | None:
    """The check of the item; None if it has none."""
    check = getattr(getattr(item, "function", None), "wirecheck", None)
    return check if isinstance(check, Check) else None


def node_of(item: pytest.Item) -> str:
    """The node that the item is about; empty for the cluster."""
    return str(item.callspec.params.get("node", "")) if isinstance(item, pytest.Function) else ""


def _text(items: CheckItems, check: Check, result: ItemResult) -> str:
    return with_options(message(check, result, items.inspect_options), items.kubectl_options)


def _leave(config: pytest.Config, error: Exception) -> NoReturn:
    """End the session with the error's sentence and its exit status."""
    config.stash[ITEMS].fail(error)
    sentence = " ".join([str(error), *getattr(error, "__notes__", ())])
    if status_of(error) == USAGE:
        raise pytest.UsageError(sentence)
    pytest.exit(sentence, returncode=status_of(error))


class ReporterProgress:
    """Shows in pytest's own output how the run goes."""

    def __init__(self, config: pytest.Config) -> None:
        self._reporter = config.pluginmanager.get_plugin("terminalreporter")

    def say(self, sentence: str) -> None:
        """Write a separate line, at any cursor position."""
        if self._reporter is not None:
            self._reporter.ensure_newline()
            self._reporter.write_line(sentence)

    def visits(self, _total: int) -> AbstractContextManager[VisitProgress]:
        """Begin a round. Only failed visits get a line."""
        return nullcontext(self)

    def visited(self, node: str, visit: VisitRecord) -> None:
        """Show the visit if it failed."""
        if not visit.status.reached:
            self.say(f"{node}: {visit.status}: {visit.reason}")
