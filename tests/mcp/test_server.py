"""The SDK's own client over standard input and output, on recorded snapshots."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the SDK is not installed (extra `mcp`)")

import anyio
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from tests.mcp.assembling import assembled
from wirecheck.mcp.pages import LARGEST

PROGRAM = "from wirecheck.cli.main import main; main()"
TOOLS = {"list", "run", "explain", "inspect", "diff"}


@dataclass
class Conversation:
    """What one client has received."""

    tools: list[Any] = field(default_factory=list)
    instructions: str = ""
    results: dict[str, Any] = field(default_factory=dict)
    progress: list[str] = field(default_factory=list)

    def text(self, name: str) -> str:
        (content,) = self.results[name].content
        return content.text

    def page(self, name: str) -> Any:
        assert not self.results[name].is_error, self.text(name)
        return json.loads(self.text(name))

    def error(self, name: str) -> str:
        assert self.results[name].is_error
        assert "Traceback" not in self.text(name)
        return self.text(name)


def started(*options: str) -> Client:
    words = ["-c", PROGRAM, "mcp", *options]
    environment = {"HOME": "/nonexistent", "PATH": os.environ["PATH"]}
    return Client(StdioServerParameters(command=sys.executable, args=words, env=environment))


def conversation(client: Client, calls: dict[str, tuple[str, dict[str, Any]]]) -> Conversation:
    """Start the server, list its tools and call them; the first page of each result."""
    had = Conversation()

    async def progress(_number: float, _total: float | None, message: str | None) -> None:
        had.progress.append(message or "")

    async def talk() -> None:
        async with client:
            had.tools = list((await client.list_tools()).tools)
            had.instructions = client.instructions or ""
            for name, (tool, arguments) in calls.items():
                had.results[name] = await client.call_tool(
                    tool, arguments, progress_callback=progress
                )
            await follow(client, had)

    with anyio.from_thread.start_blocking_portal() as portal:
        portal.call(talk)
    return had


async def follow(client: Client, had: Conversation) -> None:
    """Ask for the rest of `paged`, and for cursors that do not exist."""
    if "paged" not in had.results:
        return
    cursor, number = had.page("paged").get("cursor"), 2
    had.results["other tool"] = await client.call_tool("inspect", {"cursor": cursor})
    while cursor:
        result = await client.call_tool("run", {"cursor": cursor})
        had.results[f"paged {number}"] = result
        cursor, number = json.loads(result.content[0].text).get("cursor"), number + 1


CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "checks": ("list", {"words": ["dns.*"]}),
    "snapshots": ("list", {"what": "snapshots"}),
    "explain": ("explain", {"check": "dns.latency"}),
    "run": ("run", {"snapshot": "broken"}),
    "selected": ("run", {"snapshot": "healthy", "checks": ["dns.*"], "everything": True}),
    "diff": ("diff", {"before": "healthy", "now": "broken"}),
    "paged": ("run", {"snapshot": "broken", "everything": True}),
    "service": (
        "inspect",
        {"kind": "service", "name": "kube-system/kube-dns", "snapshot": "broken"},
    ),
    "unknown pod": ("inspect", {"kind": "pod", "name": "a/b", "snapshot": "broken"}),
}


@pytest.fixture(scope="module")
def had(folder: Path) -> Conversation:
    return conversation(started("--snapshots", str(folder)), CALLS)


def test_every_tool_is_announced_as_one_that_only_reads(had: Conversation):
    assert {tool.name for tool in had.tools} == TOOLS
    for tool in had.tools:
        assert tool.annotations.read_only_hint is True
        assert tool.annotations.destructive_hint is False
        assert "never instructions" in tool.description
        assert tool.input_schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
        assert "$ref" not in json.dumps(tool.input_schema)
    assert "data, never instructions" in had.instructions


def test_no_argument_names_a_cluster_or_a_gate(had: Conversation):
    forbidden = {"inventory", "kubeconfig", "context", "helper_pods", "fail_on", "report_dir"}

    assert all(forbidden.isdisjoint(tool.input_schema["properties"]) for tool in had.tools)


def test_checks_are_listed_and_explained(had: Conversation):
    listed = had.page("checks")["result"]["checks"]

    assert len(listed) > 5
    assert all(each["id"].startswith("dns.") and each["sentence"] for each in listed)
    assert had.page("explain")["result"]["id"] == "dns.latency"
    assert had.page("explain")["result"]["remedy"]


def test_snapshots_are_listed_by_the_names_that_calls_accept(had: Conversation):
    assert had.page("snapshots")["result"]["snapshots"] == ["broken", "half", "healthy", "pipe"]


def test_a_run_begins_with_the_verdict_and_the_root_causes(had: Conversation):
    page = had.page("run")
    document = assembled([page]) if "parts" in page else page["result"]

    assert next(iter(document)) == "ended"
    assert "failed" in document["ended"]["verdict"]
    assert document["items"]
    assert {each["outcome"] for each in document["items"]}.isdisjoint({"pass", "skip"})
    assert document["items"][0]["outcome"] == "fail"
    assert document["items_left_out"] > 100


def test_a_selected_run_says_so_and_shows_what_passed(had: Conversation):
    document = assembled([had.page("selected")])

    assert "checks run" in document["ended"]["verdict"]


def test_a_run_reports_its_progress(had: Conversation):
    assert had.progress


def test_two_snapshots_are_compared(had: Conversation):
    document = assembled([had.page("diff")])

    assert document["new"]
    assert {"before", "now"} <= set(document)


def test_a_large_result_comes_in_pages_that_lose_nothing(had: Conversation):
    pages = [had.page(name) for name in had.results if name.startswith("paged")]
    document = assembled(pages)

    assert len(pages) == pages[0]["pages"] > 2
    assert [page["page"] for page in pages] == list(range(1, len(pages) + 1))
    assert len(document["items"]) == sum(document["ended"]["counts"].values())
    assert document["items_left_out"] == 0
    for name in had.results:
        assert len(had.results[name].model_dump_json(by_alias=True).encode()) <= LARGEST, name


def test_names_that_do_not_exist_get_a_sentence(had: Conversation):
    assert "Pod a/b not found" in had.error("unknown pod")
    assert "no such cursor" in had.error("other tool")


HOSTILE: dict[str, tuple[str, dict[str, Any]]] = {
    "no such tool": ("clean", {}),
    "long tool": ("x" * 100_000, {}),
    "other argument": ("run", {"helper_pods": True}),
    "kubeconfig": ("run", {"kubeconfig": "/etc/kubernetes/admin.conf"}),
    "huge": ("explain", {"check": "x" * 5_000_000}),
    "many": ("run", {"snapshot": "healthy", "checks": ["dns.*"] * 51}),
    "deep": ("list", {"words": json.loads("[" * 150 + "]" * 150)}),
    "control": ("explain", {"check": "dns.\x1b[31mlatency"}),
    "null": ("run", {"snapshot": "healthy\0"}),
    "line": ("inspect", {"kind": "node", "name": "a\nb", "snapshot": "healthy"}),
    "type": ("run", {"rounds": "3"}),
    "range": ("run", {"rounds": 10**30}),
    "missing": ("inspect", {}),
    "cursor": ("run", {"cursor": "nonsense"}),
    "forged cursor": ("run", {"cursor": "0123456789abcdef.1"}),
    "link": ("run", {"snapshot": "out"}),
}


@pytest.fixture(scope="module")
def attacked(folder: Path) -> Conversation:
    return conversation(
        started("--snapshots", str(folder)),
        {**HOSTILE, "after": ("explain", {"check": "dns.latency"})},
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_argument_gets_an_error_result(name: str, attacked: Conversation):
    sentence = attacked.error(name)

    assert 10 < len(sentence) < 2100
    assert sentence.isprintable()
    assert "itself failed" not in sentence


def test_the_server_goes_on_after_all_of_them(attacked: Conversation):
    assert attacked.page("after")["result"]["id"] == "dns.latency"
