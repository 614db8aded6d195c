"""`wirecheck trace` on recorded clusters: its text, its JSON and its exit statuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tests.changed_recordings import changed
from tests.command_line import Ended
from tests.paths.conftest import FAR_GATEWAY, GATEWAY, WEB, complete
from wirecheck.cli.completion import ends
from wirecheck.inspect import parts, trace_view
from wirecheck.inspect.drawing import CROSS

DOCS = Path(__file__).parents[2] / "docs" / "trace.md"
VIEWS = [
    each
    for each in vars(trace_view).values()
    if isinstance(each, type) and issubclass(each, parts.View) and each is not parts.View
]


@pytest.fixture
def trace(bare_home, call) -> Callable[..., Ended]:
    """Run `wirecheck trace …` in an empty folder."""
    return partial(call, "trace")


@pytest.fixture
def complete_recording(healthy: Path, tmp_path: Path) -> Path:
    return changed(healthy, tmp_path / "complete", complete)


def test_a_path_is_drawn_hop_by_hop(trace, complete_recording: Path) -> None:
    status, out, err = trace(WEB, GATEWAY, "--snapshot", complete_recording)

    assert (status, err) == (0, "")
    assert out.startswith(
        "From pod shop/web-678979c555-4kcds to service shop/gateway (10.96.120.245:80/tcp)\n"
    )
    assert out.count("50% of connections: reaches") == 2
    assert "the destination becomes 10.244.1.9:8080" in out
    assert "-j DNAT --to-destination 10.244.1.9:8080" in out
    assert "the answer, tcp 10.244.1.9:8080 > 10.244.2.8" in out
    assert out.endswith("The packet arrives, and so does its answer\n")


def test_the_line_at_which_it_dies_is_marked(trace, broken: Path) -> None:
    ends = ("node/wc-w1", "pod/shop/web-678979c555-h9f9s")
    status, out, err = trace(*ends, "--snapshot", broken)

    assert (status, err) == (1, "")
    assert "neighbour on cni0 nobody on cni0 has the address 10.244.1.16\n" in out
    assert CROSS in out
    assert "The packet dies: nobody on cni0 has the address 10.244.1.16\n" in out


def test_a_service_that_no_rule_of_the_node_handles(trace, broken: Path) -> None:
    status, out, _ = trace("node/wc-w2", "service/shop/web", "--snapshot", broken)

    assert status == 2
    assert "no rule translates 10.96.169.41:80 of Service shop/web: it leaves the node" in out


def test_a_service_without_endpoints(trace, broken: Path) -> None:
    status, out, _ = trace("node/wc-w2", "service/shop/empty", "--snapshot", broken)

    assert status == 1
    assert "-j REJECT --reject-with icmp-port-unreachable" in out


def test_a_recording_of_an_older_program_decides_no_arrival(trace, healthy: Path) -> None:
    status, out, _ = trace(WEB, FAR_GATEWAY, "--snapshot", healthy)

    assert status == 2
    assert "not read" in out
    assert "It cannot be decided: " in out


def test_json_has_every_documented_field(trace, complete_recording: Path) -> None:
    status, out, _ = trace(WEB, GATEWAY, "-o", "json", "--snapshot", complete_recording)

    view = json.loads(out)
    assert (status, view["result"], len(view["paths"])) == (0, "reaches", 2)
    assert view["paths"][0]["there"]["hops"][0]["stage"] == "routing"
    documented = set(re.findall(r"`([a-z_]+)`", DOCS.read_text()))
    for each in VIEWS:
        assert {field.encode_name for field in msgspec.structs.fields(each)} <= documented


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("pod/shop/none", GATEWAY), "Pod shop/none does not exist."),
        ((WEB, "service/shop/none"), "Service shop/none does not exist."),
        ((WEB, "node/none:80"), "Node none does not exist."),
        ((WEB, "service/shop/gateway:81"), "Service shop/gateway has no port 81/any;"),
        ((WEB, "service/shop/db"), "Service shop/db has no cluster IP"),
        ((WEB, "node/wc-w2"), "node wc-w2 has no port by itself"),
        ((WEB, "nothing"), "nothing names no end of a path"),
        ((WEB, "pod/shop"), "pod/shop is incomplete"),
        ((WEB, "10.96.0.10:99999"), "99999 is not a port"),
        ((WEB, "10.96.0.10:٣"), "is not a port"),
        ((WEB, "[fd00::1]:80"), "have no address family in common"),
        (("service/shop/web", GATEWAY), "sends no packets"),
        (("pod/" + "a/" * 5_000, GATEWAY), "is incomplete"),
    ],
)
def test_an_end_that_does_not_exist(
    trace, healthy: Path, words: tuple[str, ...], complaint
) -> None:
    status, out, err = trace(*words, "--snapshot", healthy)

    assert (status, out) == (4, "")
    assert complaint in err.replace("\n", " ")


def test_ends_are_completed_from_the_snapshot(healthy: Path) -> None:
    class Context:
        params = {"snapshot": healthy}  # noqa: RUF012 - as click has it

    names = [each.value for each in ends(Context(), None, "service/shop/web-s")]

    assert names == ["service/shop/web-same-node", "service/shop/web-same-zone",
                     "service/shop/web-sticky"]  # fmt: skip
