"""`junit.xml`: one case for each check, so that each failure is counted once.

Pipelines truncate or refuse large files. Before the file becomes too large, details are left out
step by step, and the file says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.comparison import comparison_sentence
from wirecheck.report.gates import wait_sentence, waiver_sentence, waivers_needing_attention
from wirecheck.report.junit_cases import Case, Detail, cases
from wirecheck.report.sentences import coverage_sentence
from wirecheck.results.records import Results
from wirecheck.results.tally import tally_of
from wirecheck.text import harmless, harmless_lines, shortened

LARGEST = 1_000_000
"""Bytes. TestGrid asks for about 1 MB; GitLab refuses a file by its number of elements."""

DETAILS = (
    Detail(findings=20, evidence=10, nodes=50, text=1000),
    Detail(findings=10, evidence=4, nodes=20, text=300),
    Detail(findings=5, evidence=0, nodes=10, text=200),
    Detail(findings=2, evidence=0, nodes=5, text=100),
    Detail(findings=1, evidence=0, nodes=0, text=60),
)


def render(results: Results) -> str:
    """The complete file, with as much detail as fits."""
    for detail in DETAILS[:-1]:
        fitting = _fitting(results, detail)
        text = _document(results, fitting) if fitting else ""
        if text and len(text.encode()) <= LARGEST:
            return text
    return _document(results, list(cases(results, DETAILS[-1])))


def _fitting(results: Results, detail: Detail) -> list[Case]:
    """All cases; none if their text alone is too large, which saves building the document."""
    fitting, size = [], 0
    for case in cases(results, detail):
        size += len(case.name) + len(case.message) + len(case.body) + len(case.output)
        if size > LARGEST:
            return []
        fitting.append(case)
    return fitting


def _document(results: Results, cases: Sequence[Case]) -> str:
    marks = Counter(case.mark for case in cases)
    numbers = {
        "tests": str(len(cases)),
        "failures": str(marks["failure"]),
        "errors": str(marks["error"]),
    }
    time = {"time": f"{results.ended.seconds:.3f}"}
    root = ElementTree.Element("testsuites", {"name": "wirecheck", **numbers, **time})
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        {
            "name": "wirecheck",
            **numbers,
            "skipped": str(marks["skipped"]),
            **time,
            # The schema allows no time zone. The time is UTC.
            "timestamp": harmless(results.started.time).removesuffix("Z"),
        },
    )
    _add_properties(suite, results)
    for case in cases:
        _add_case(suite, case)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(root, "unicode")}\n'


def _add_properties(suite: ElementTree.Element, results: Results) -> None:
    started, ended, tally = results.started, results.ended, tally_of(results)
    properties = {
        "wirecheck.version": started.wirecheck,
        "wirecheck.verdict": ended.verdict,
        "wirecheck.status": str(ended.status),
        "wirecheck.coverage": coverage_sentence(ended.coverage),
        "wirecheck.looks": str(ended.looks),
        "wirecheck.source": started.source,
        "cluster.name": started.cluster.name,
        "cluster.uid": started.cluster.uid,
        "cluster.version": started.cluster.version,
        "cluster.proxy_modes": ", ".join(started.cluster.proxy_modes),
        **{f"wirecheck.{each}": str(n) for each in Outcome if (n := tally.number(each))},
        "wirecheck.nodes_failed": str(tally.nodes.get(Outcome.FAIL, 0)),
        "wirecheck.root_causes": str(tally.root_causes),
        **_gates(results),
        **{f"wirecheck.override.{o.name}": f"{o.was} -> {o.now}" for o in started.overrides},
    }
    element = ElementTree.SubElement(suite, "properties")
    for name, value in properties.items():
        pair = {"name": harmless(name), "value": harmless(value)}
        ElementTree.SubElement(element, "property", pair)


def _gates(results: Results) -> dict[str, str]:
    comparison, wait = results.comparison, results.ended.wait
    properties = {"wirecheck.baseline": comparison_sentence(comparison)} if comparison else {}
    if wait:
        properties["wirecheck.wait"] = wait_sentence(wait)
    for number, waiver in enumerate(list(waivers_needing_attention(results.ended))[:100], start=1):
        properties[f"wirecheck.waiver.{number}"] = waiver_sentence(waiver)
    return properties


def _add_case(suite: ElementTree.Element, case: Case) -> None:
    names = {"classname": f"wirecheck.{harmless(case.group)}", "name": harmless(case.name)}
    element = ElementTree.SubElement(suite, "testcase", {**names, "time": "0.000"})
    if case.mark:
        message = {"message": shortened(harmless(case.message), 2000)}
        marked = ElementTree.SubElement(element, case.mark, message)
        if case.mark != "skipped":
            marked.set("type", case.mark)
        marked.text = "\n".join(harmless_lines(case.body)) or None
    if case.output:
        output = ElementTree.SubElement(element, "system-out")
        output.text = "\n".join(harmless_lines(case.output))
