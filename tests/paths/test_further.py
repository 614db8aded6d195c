"""Every further line that has to change is named, and only those."""

from __future__ import annotations

import pytest

from tests.changed_recordings import Document
from tests.paths.conftest import CONF, FAR_GATEWAY, GATEWAY, NEAR_GATEWAY, WEB, complete, on
from tests.paths.conftest import with_rules as rules
from tests.paths.test_dying import changed, host
from wirecheck.inspect.trace_view import TraceView

TO = "-d 10.244.1.9/32"


def further(view: TraceView) -> list[tuple[str, str, str]]:
    """Node, stage and last line of all hops at which the packet would die."""
    path = view.paths[0]
    assert path.decisive is not None
    hops = [path.decisive, *path.further]
    return [(e.node, e.stage, e.lines[-1].partition(": ")[2] if e.lines else "") for e in hops]


def test_rules_of_both_nodes_and_of_the_answer(traced) -> None:
    drops = f"-A FORWARD {TO} -j DROP", f"-A FORWARD {TO} -p tcp -j REJECT"
    answer = "-A FORWARD -s 10.244.1.9/32 -j DROP"
    raw = f"-A PREROUTING {TO} -j DROP"
    view = traced(
        WEB,
        FAR_GATEWAY,
        complete,
        on("wc-w2", rules(*drops)),
        on("wc-w1", rules(raw, table="raw")),
        on("wc-w1", rules(answer)),
    )

    assert further(view) == [
        ("wc-w2", "forward", drops[0]),
        ("wc-w2", "forward", drops[1]),
        ("wc-w1", "prerouting", raw),
        ("wc-w1", "forward", answer),
    ]


def test_a_policy_and_a_rule(traced) -> None:
    def drops_by_policy(document: Document) -> None:
        record = document["commands"]["iptables-nft-save"]
        text = record["output"]
        record["output"] = (
            text.replace(":FORWARD ACCEPT", ":FORWARD DROP")
            .replace("-A FORWARD -s 10.244.0.0/16", "-A FORWARD -s 10.99.0.0/16")
            .replace("-A FLANNEL-FWD -s 10.244.0.0/16", "-A FLANNEL-FWD -s 10.99.0.0/16")
            .replace("-A FLANNEL-FWD -d 10.244.0.0/16", "-A FLANNEL-FWD -d 10.99.0.0/16")
        )
        record.pop("blocks", None)

    drop = f"-A FORWARD {TO} -j DROP"
    view = traced(
        WEB, FAR_GATEWAY, complete, on("wc-w2", drops_by_policy), on("wc-w1", rules(drop))
    )

    stages = [(node, line) for node, _, line in further(view)]
    assert stages[0][0] == "wc-w2"
    assert ("wc-w1", drop) in stages


def test_settings_and_isolated_ports(traced) -> None:
    isolated = host(changed("links", {"port_kind": "bridge"}, port_isolated=True))
    drop = "-A FORWARD -d 10.244.2.12/32 -j DROP"
    view = traced(WEB, NEAR_GATEWAY, complete, on("wc-w2", isolated), on("wc-w2", rules(drop)))

    found = [stage for _, stage, _ in further(view)]
    assert found[:2] == ["bridge cni0", "forward"]


def test_forwarding_and_a_drop_behind_it(traced) -> None:
    def off(document: Document) -> None:
        document["files"][CONF.format("cni0", "forwarding")] = "0"

    drop = f"-A FORWARD {TO} -j DROP"
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", off), on("wc-w1", rules(drop)))

    assert [(node, stage) for node, stage, _ in further(view)] == [
        ("wc-w2", "forwarding"),
        ("wc-w1", "forward"),
    ]


@pytest.mark.parametrize("route", ["blackhole", "unreachable"])
def test_nothing_is_known_behind_a_route_that_refuses(traced, route: str) -> None:
    refused = host(changed("routes", {"destination": "10.244.1.0/24"}, type=route))
    drop = f"-A FORWARD {TO} -j DROP"
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", refused), on("wc-w1", rules(drop)))

    assert [stage for _, stage, _ in further(view)] == ["routing"]


def test_the_lines_of_another_backend_are_not_among_them(traced) -> None:
    drops = f"-A FORWARD {TO} -j DROP", "-A FORWARD -d 10.244.2.12/32 -j DROP"
    view = traced(WEB, GATEWAY, complete, on("wc-w2", rules(*drops)))

    found = {path.share: [path.decisive.lines[-1], *path.further] for path in view.paths}
    assert len(view.paths) == 2
    assert all(len(each) == 1 for each in found.values())
