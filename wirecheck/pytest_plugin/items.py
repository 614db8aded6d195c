"""The items of one pytest session: the nodes they are about, and how each of them ends."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import Check
from wirecheck.report.delivery import Output, read_output
from wirecheck.results.records import ItemResult, Results
from wirecheck.run.live import listed_nodes
from wirecheck.run.progress import RunProgress
from wirecheck.run.report_folder import UnwrittenError
from wirecheck.run.reported_run import ItemName, ReportedRun
from wirecheck.run.request import SENTENCES, Request, RequestError

ANY_NODE = "NODE"
"""Represents the nodes if checks are only listed and there is no cluster."""


class CheckItems:
    """Opens the cluster when the first check is collected, and visits it before the first item."""

    def __init__(
        self,
        request: Request,
        progress: RunProgress,
        outputs: Sequence[str] = (),
        *,
        only_lists: bool,
        has_folder: bool,
    ) -> None:
        self.request = request
        self.error: Exception | None = None
        """Why nothing can be evaluated; one of `request.SENTENCES`."""
        self.unwritten = ""
        """Why the reports could not be written."""
        self.others_failed = False
        """Whether a test that is not a check failed in the same session."""
        self._only_lists = only_lists
        self._node_names: Sequence[str] | None = None
        self._run: ReportedRun | None = None
        self._ended: list[ItemResult] = []
        self._was_observed = False
        try:
            read = [_read_output(each) for each in outputs]
            self._run = ReportedRun(request, progress, read, has_folder=has_folder)
        except RequestError as error:
            self.error = error

    @property
    def node_names(self) -> Sequence[str]:
        """The nodes that have items. None if `error` has the reason."""
        if self._node_names is None:
            try:
                self._node_names = self._names()
            except SENTENCES as error:
                self._node_names = ()
                if self._only_lists and self.request == Request():
                    self._node_names = (ANY_NODE,)
                else:
                    self.error = error
        return self._node_names

    @property
    def results(self) -> Results | None:
        """The results, once `finish` has made them."""
        return self._run.results if self._run else None

    @property
    def added(self) -> list[ItemResult]:
        """Results for nodes that were added after pytest had chosen its items."""
        return self._run.added if self._run else []

    @property
    def folder(self) -> Path | None:
        """The folder of the reports."""
        return self._run.folder if self._run else None

    @cached_property
    def kubectl_options(self) -> str:
        """The options with which kubectl reaches the cluster that is checked."""
        return self.request.kubectl_options

    @property
    def inspect_options(self) -> str:
        """The options with which `wirecheck inspect` shows what the run saw."""
        return self._run.inspect_options if self._run else ""

    def observe(self, checks: Sequence[Check], items: Sequence[ItemName]) -> None:
        """Visit the nodes for the items. Raises what `request.SENTENCES` lists."""
        assert self._run is not None
        self._run.select(checks, frozenset(items))
        self._run.observe()
        self._was_observed = True

    def result(self, check: Check, node: str) -> ItemResult:
        """How the check ended on the node, or with an empty name on the cluster."""
        assert self._run is not None
        return self._run.item(check.id, node) or ItemResult(
            check.id,
            Outcome.SKIP,
            node=node,
            reason=f"{node or 'The cluster'} was not checked: the run was interrupted, or the "
            "node was deleted.",
        )

    def count(self, item: ItemResult) -> None:
        """Add an item that was run to the record of the session."""
        self._ended.append(item)

    def finish(self, *, interrupted: bool) -> None:
        """Make the results, and write the reports and outputs."""
        if self._run is None or not self._was_observed:
            return
        try:
            self._run.finish([*self._ended, *self.added], interrupted=interrupted)
        except UnwrittenError as error:
            self._run.fail(error)
            self.unwritten = str(error)
        else:
            self._run.deliver()

    def fail(self, error: BaseException) -> None:
        """Inform the outputs of a session that ended without results."""
        if self._run:
            self._run.fail(error)

    def _names(self) -> Sequence[str]:
        if self._run is None:
            return ()
        if self._only_lists and not self.request.snapshot:
            return listed_nodes(self.request)
        self._run.open()
        return self._run.session.source.node_names


def _read_output(text: str) -> Output:
    """Read `markdown=FILE`. Raises RequestError: standard output is pytest's own."""
    try:
        output = read_output(text)
    except ValueError as error:
        raise RequestError(f"--output: {error}") from None
    if output.is_printed:
        raise RequestError(f"--output: name a file: {text}=FILE")
    return output
