"""Reports the progress of a run to Sonobuoy, whose sidecar listens on a port of this pod.

The contract is Sonobuoy's: POST `/progress` with `msg`, `total`, `completed`, `errors` and
`failures`, as often as one likes. What is not taken is lost, and changes nothing.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

import msgspec

from wirecheck.catalogue.findings import Outcome
from wirecheck.report import sonobuoy
from wirecheck.report.delivery import Output
from wirecheck.results.causes import symptoms
from wirecheck.results.ordering import CheckResults, by_check, causes_first
from wirecheck.results.records import Results
from wirecheck.run.progress import CountsDown, RunProgress, VisitProgress, warner
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.text import harmless, listed, shortened

PORT = "SONOBUOY_PROGRESS_PORT"
SECONDS = 2.0
"""The sidecar is in the same pod: if it does not answer at once, it never will."""

UPDATES = 100
"""At most this many updates about the visits of one round."""

MOST = 50
LONGEST = 300


class Update(msgspec.Struct, frozen=True):
    """The posted status."""

    msg: str
    total: int
    completed: int
    errors: list[str] = []
    failures: list[str] = []


def _failure(check: CheckResults) -> str:
    nodes = [item.node for item in check.having(Outcome.FAIL) if item.node]
    return harmless(f"{check.record.id} on {listed(nodes, 5) or 'the cluster'}")


class SonobuoyProgress:
    """Passes everything on to `inner`, and posts updates to the sidecar."""

    def __init__(self, inner: RunProgress, port: str) -> None:
        self._inner = inner
        self._url = f"http://localhost:{port}/progress"
        self._total = 0
        self._completed = 0
        self._errors: list[str] = []

    def say(self, sentence: str) -> None:
        """Pass the sentence on. It is not posted: it may have many lines."""
        self._inner.say(sentence)

    def warn(self, sentence: str) -> None:
        """Pass the warning on."""
        warner(self._inner)(sentence)

    def counts_down(self, seconds: float, why: str) -> bool:
        """Let the inner progress show the pause, if it can."""
        return isinstance(self._inner, CountsDown) and self._inner.counts_down(seconds, why)

    def visits(self, total: int) -> AbstractContextManager[VisitProgress]:
        """Begin a round."""
        return self._round(total)

    @contextmanager
    def _round(self, total: int) -> Iterator[VisitProgress]:
        self._total, self._completed, self._errors = total, 0, []
        self._post(f"Visiting {total:,} nodes.")
        with self._inner.visits(total) as inner:
            yield _Both(inner, self)
        self._post(f"{self._completed:,} of {total:,} nodes visited.")

    def visited(self, node: str, visit: VisitRecord) -> None:
        """Count a visit, and keep the reason if it failed."""
        self._completed += 1
        if (
            not (visit.status.reached or visit.status is VisitStatus.GONE)
            and len(self._errors) < MOST
        ):
            self._errors.append(shortened(harmless(f"{node}: {visit.reason}"), LONGEST))
        if self._completed % max(1, self._total // UPDATES) == 0:
            self._post(harmless(f"{node} visited."))

    def ended(self, results: Results) -> None:
        """Post the verdict, with the failed checks, root causes first."""
        checks = causes_first(by_check(results), symptoms(results.items))
        failed = [_failure(each) for each in checks if each.outcome is Outcome.FAIL]
        self._post(results.ended.verdict, failed[:MOST])

    def _post(self, sentence: str, failures: list[str] | None = None) -> None:
        update = Update(
            shortened(harmless(sentence), LONGEST),
            self._total,
            self._completed,
            list(self._errors),
            failures or [],
        )
        request = urllib.request.Request(
            self._url,
            data=msgspec.json.encode(update),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        # A proxy set in the environment would send it out of the pod.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with (
            contextlib.suppress(OSError, http.client.HTTPException, ValueError),
            opener.open(request, timeout=SECONDS) as response,
        ):
            response.read(1)


class _Both:
    """Passes each visit on to several."""

    def __init__(self, *inner: VisitProgress) -> None:
        self._inner = inner

    def visited(self, node: str, visit: VisitRecord) -> None:
        """Pass the visit on."""
        for each in self._inner:
            each.visited(node, visit)


def sidecar_of(
    outputs: Sequence[Output], inner: RunProgress, environment: Mapping[str, str] = os.environ
) -> SonobuoyProgress | None:
    """Sonobuoy's sidecar, where this run is one of its plugins."""
    port = environment.get(PORT, "")
    is_plugin = port.isdecimal() and any(output.format.name == sonobuoy.NAME for output in outputs)
    return SonobuoyProgress(inner, port) if is_plugin else None
