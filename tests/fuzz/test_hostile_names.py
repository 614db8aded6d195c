"""Names that mean harm go from the cluster through judging into every report, and do none."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from tests.fuzz.garbling import HOSTILE
from tests.served_cluster import Listener
from tests.snapshots import broken
from wirecheck import __version__
from wirecheck.report import github, terminal
from wirecheck.report.registry import FORMATS
from wirecheck.results.jsonl import read_results
from wirecheck.results.records import Results
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import SnapshotWriter
from wirecheck.snapshot.index import ClusterIdentity, RoundRecord, SnapshotIndex
from wirecheck.snapshot.node_document import NodeDocument

UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
NAMES = [each for each in HOSTILE if each.isascii() or "\u202e" in each]


def renamed(value: Any, evil: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {evil.get(key, key): renamed(inner, evil) for key, inner in value.items()}
    if isinstance(value, list):
        return [renamed(each, evil) for each in value]
    return evil.get(value, value) if isinstance(value, str) else value


def written(folder: Path, name: str) -> Path:
    """A cluster with a fault in which everything that has a name has this one."""
    small = broken()
    api = msgspec.to_builtins(small.api)
    names = {
        each["metadata"][key]
        for objects in api.values()
        if isinstance(objects, list)
        for each in objects
        if isinstance(each, dict)
        for key in ("name", "namespace")
        if each["metadata"].get(key)
    }
    # Each is another one, as in a real cluster, and all of them are evil.
    evil = {old: f"{name}{number}" for number, old in enumerate(sorted(names))}
    node = evil["n1"]
    index = SnapshotIndex(
        format=1,
        wirecheck=__version__,
        time=1_800_000_000.0,
        cluster=ClusterIdentity(name, name, name),
        notes=[name],
        queries={name: name},
        dns_domain=name,
    )
    writer = SnapshotWriter(folder, index)
    writer.write_api(1, msgspec.convert(renamed(api, evil), ApiObjects))
    document = renamed(msgspec.to_builtins(small.document), evil)
    for namespace in document["namespaces"]:
        for link in namespace.get("links", ()):
            link["alias"] = name
    document["host"] = {**document.get("host", {}), "hostname": name, "kernel": name, "os": name}
    document["problems"] = [name]
    raw = msgspec.json.encode(msgspec.convert(document, NodeDocument))
    writer.write_document(1, node, raw)
    visit = msgspec.structs.replace(small.visit, via=f"docker://{name}")
    writer.finish_round(RoundRecord(1.8e9, 1.8e9 + 2, {node: visit}, problems=[name]))
    return folder


class Tags(HTMLParser):
    """How many scripts, and whether any attribute is an event's."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts = 0
        self.events: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.events += [name for name, _ in attrs if name.startswith("on")]


@pytest.fixture(params=NAMES, ids=lambda name: ascii(name)[:20])
def run(request, tmp_path: Path) -> tuple[Results, Path]:
    snapshot = written(tmp_path / "snapshot", request.param)
    asked = Request(snapshot=snapshot, report_dir=tmp_path / "reports")
    return perform(asked, (), Listener())


def test_every_report_is_harmless(run: tuple[Results, Path]) -> None:
    results, folder = run
    assert any(item.findings for item in results.items)
    assert read_results(folder / "results.jsonl").items == results.items
    page = Tags((folder / "report.html").read_text())
    assert (page.scripts, page.events) == (1, [])
    ET.parse(folder / "junit.xml")
    texts = {name: each.render(results) for name, each in FORMATS.items() if name != "jsonl"}
    texts["github"] = "\n".join(github.error_lines(results))
    screen = StringIO()
    terminal.show(results, Console(file=screen, width=100, no_color=True), folder)
    texts["terminal"] = screen.getvalue()
    for name, text in texts.items():
        assert not UNSEEN.search(text), name
    assert "<script>alert" not in texts["markdown"]
    assert all(line.startswith(("::", "  ")) for line in texts["github"].splitlines())
