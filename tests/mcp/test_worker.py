"""One call: what it may read, what it returns, and when it is ended."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("anyio", reason="the SDK is not installed (extra `mcp`)")

import anyio

from tests.collect.conftest import ApiServer
from tests.collect.pods.test_agent_pods import Namespace
from tests.served_cluster import ServedCluster
from wirecheck.collect.api.client import Api
from wirecheck.collect.api.errors import ApiError
from wirecheck.mcp.calls import PROGRAM, pages_from
from wirecheck.mcp.settings import Settings
from wirecheck.mcp.snapshot_names import known_names, place_of
from wirecheck.mcp.worker import Call, Reply, reply_to
from wirecheck.run.live import connect
from wirecheck.run.request import Request, RequestError

INVENTORY = """
nodes: [{name: n1, access: 'docker://'}, {name: '*', access: 'kubectl://'}]
agent: {image: w, start: 0.2}
helper_pods: {always: true, image: w, start: 0.2}
"""

OUTSIDE: dict[str, tuple[str, dict[str, Any]]] = {
    "absolute": ("run", {"snapshot": "/etc"}),
    "parent": ("run", {"snapshot": "../outside0/healthy"}),
    "inner parent": ("run", {"snapshot": "broken/../../outside0"}),
    "itself": ("run", {"snapshot": "."}),
    "link": ("run", {"snapshot": "out"}),
    "inner link": ("run", {"snapshot": "half"}),
    "pipe": ("run", {"snapshot": "pipe"}),
    "loop": ("run", {"snapshot": "loop"}),
    "long": ("run", {"snapshot": "x" * 999}),
    "missing": ("inspect", {"kind": "node", "name": "a", "snapshot": "other"}),
    "diff out": ("diff", {"before": "out", "now": "broken"}),
    "diff file": ("diff", {"before": "broken/snapshot.json", "now": "../../etc/passwd"}),
}
WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "no snapshot": ("run", {"snapshot": "broken/look-1"}, "is not a snapshot"),
    "unknown check": ("run", {"snapshot": "healthy", "checks": ["nothing.*"]}, "nothing.*"),
    "unknown profile": ("run", {"snapshot": "healthy", "profile": "no"}, "Unknown profile no"),
    "profile of list": ("list", {"profile": "no"}, "Unknown profile no"),
    "unknown word": ("list", {"words": ["nothing.*"]}, "nothing.*"),
    "no check": ("explain", {"check": "dns.nothing"}, "dns.nothing"),
    "live run": ("run", {}, "reads snapshots only"),
    "live inspect": ("inspect", {"kind": "node", "name": "wc-w1"}, "reads snapshots only"),
    "no run": ("diff", {"before": "healthy/look-1", "now": "broken"}, "is not an earlier run"),
}


def reply(folder: Path, tmp_path: Path, tool: str, arguments: dict[str, Any]) -> Reply:
    return reply_to(Call(tool, arguments, Settings(snapshots=str(folder)), str(tmp_path)))


@pytest.mark.parametrize("name", OUTSIDE)
def test_nothing_outside_the_folder_is_read(name: str, folder: Path, tmp_path: Path):
    sentence = reply(folder, tmp_path, *OUTSIDE[name]).error

    assert "folder of snapshots" in sentence or "not a file or folder" in sentence


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_gets_a_sentence(name: str, folder: Path, tmp_path: Path):
    tool, arguments, sentence = WRONG[name]

    assert sentence in reply(folder, tmp_path, tool, arguments).error


def test_a_link_that_stays_inside_is_followed(folder: Path, tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")

    assert place_of(str(tmp_path), "link") == (tmp_path / "real").resolve()


def test_results_whose_snapshot_leads_out_are_refused(folder: Path, tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "results.jsonl").write_text("")
    (run / "snapshot").symlink_to(folder / "healthy")

    for name in ("run", "run/results.jsonl"):
        with pytest.raises(RequestError, match="leads out"):
            place_of(str(tmp_path), name)


def test_names_that_are_not_utf8_end_nothing(tmp_path: Path):
    (tmp_path / "a\udcff").mkdir()
    (tmp_path / "a\udcff/snapshot.json").touch()

    assert known_names(str(tmp_path)) == ["a?"]


def test_without_a_folder_no_snapshot_can_be_named(tmp_path: Path):
    call = Call("list", {"what": "snapshots"}, Settings(), str(tmp_path))

    assert "--snapshots DIR" in reply_to(call).error


def test_an_exception_becomes_a_sentence(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fails(*_: object) -> None:
        raise ValueError("secret")

    monkeypatch.setattr("wirecheck.mcp.answers.answer", fails)
    said = reply(folder, tmp_path, "list", {}).error

    assert said == "wirecheck itself failed (ValueError): a bug."


def test_a_call_that_takes_too_long_is_ended(folder: Path):
    async def progress(_line: str) -> None:
        pass

    async def call() -> None:
        settings = Settings(snapshots=str(folder))
        await pages_from(Call("run", {"snapshot": "broken"}, settings), 0.2, progress)

    with (
        pytest.raises(RequestError, match=r"`run` took more than 0\.2 s and was ended"),
        anyio.from_thread.start_blocking_portal() as portal,
    ):
        portal.call(call)


def test_the_process_of_a_call_ends_with_its_server(folder: Path, tmp_path: Path):
    """Also if the server is killed: nobody is left to end it."""
    call = Call("run", {"snapshot": "broken"}, Settings(snapshots=str(folder)), str(tmp_path))
    started = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(Path.cwd())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, _ = started.communicate(msgspec.json.encode(call) + b"\n", timeout=60)

    # communicate() closes standard input at once.
    assert b"result" not in out
    assert b"ended before there was a result" in out or started.returncode != 0


def test_a_live_run_creates_no_pods_whatever_the_inventory_says(
    server: ApiServer, kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cluster = ServedCluster(server)
    cluster.serve(cluster.looks[0])
    monkeypatch.setattr("wirecheck.run.round.visit_all", cluster.visit_all)
    monkeypatch.setattr("wirecheck.run.access.container_access", cluster.container_access)
    monkeypatch.setattr("wirecheck.run.live.time.sleep", lambda _: None)
    namespaces = [Namespace(server), Namespace(server, "wirecheck-helpers")]
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(INVENTORY)
    settings = Settings(inventory=str(inventory), kubeconfig=str(kubeconfig))

    replied = reply_to(Call("run", {"rounds": 1}, settings, str(tmp_path)))

    assert replied.error == ""
    document = json.loads("{" + replied.pages[0] + "}")
    assert document
    assert cluster.visited == [["n1"]]
    assert {request.method for request in server.requests} == {"GET"}
    assert [each.pods for each in namespaces] == [[], []]


def test_a_request_that_would_change_something_is_not_sent(server: ApiServer, kubeconfig: Path):
    request = Request(kubeconfig=kubeconfig, changes_nothing=True)
    api = connect(request, request.read_inventory())

    assert isinstance(api, Api)
    for method in ("POST", "DELETE"):
        with pytest.raises(ApiError, match="this run changes nothing"):
            api.connection.send(method, "/api/v1/namespaces/a/pods", "pods")


def test_settings_travel_to_the_process_of_a_call():
    settings = Settings(inventory="a", snapshots="b", report_dir="c", time_limit=3)

    assert msgspec.json.decode(msgspec.json.encode(settings), type=Settings) == settings
    assert settings.reads_cluster
    assert Settings().reads_cluster
    assert not Settings(snapshots="b").reads_cluster
