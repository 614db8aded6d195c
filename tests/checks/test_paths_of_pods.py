"""Packets between all pods, followed by classes: what cuts some of them off is found, and named."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from testbed.record import RECORDED
from tests.changed_recordings import Document
from tests.paths.conftest import Change, ChangedSnapshot, on, with_rules
from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import Check, load
from wirecheck.evaluation.evaluate import Evaluation
from wirecheck.model import sender_paths
from wirecheck.results.records import ItemResult
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.objects.pod import PodObject

CHECK = "paths.pods_to_pods"
POLICY = "a policy selects one of the two pods, and is not followed"


@cache
def healthy() -> Snapshot:
    return Snapshot.open(RECORDED / "healthy")


@cache
def pods_of(node: str) -> tuple[PodObject, ...]:
    """Those of the shop and of operations: each has a network of its own."""
    found = [each for each in healthy().api().pods if each.spec.node_name == node]
    return tuple(e for e in found if e.metadata.namespace in ("ops", "shop") and e.status.pod_ip)


def on_node(node: str, *changes: Change) -> ItemResult:
    chosen = [each for each in load() if each.id == CHECK]
    snapshot = ChangedSnapshot(healthy(), *changes)
    (item,) = Evaluation(snapshot, chosen).node(node)  # type: ignore[arg-type]
    return item


def own(document: Document, link: str) -> Document:
    """A link of the node's own netns."""
    return next(e for e in document["namespaces"][0]["links"] if e["name"] == link)


def netns_of(document: Document, pod: PodObject) -> Document:
    return next(
        each
        for each in document["namespaces"][1:]
        if pod.status.pod_ip in {e["address"] for e in each["addresses"]}
    )


@pytest.mark.parametrize("node", ["wc-cp", "wc-w1"])
def test_a_healthy_node_passes(node: str) -> None:
    item = on_node(node)

    assert (item.outcome, item.findings) == (Outcome.PASS, [])
    assert set(item.unjudged) <= {POLICY}


def test_the_broken_cluster_has_a_pod_without_an_address() -> None:
    chosen = [each for each in load() if each.id == CHECK]
    (item,) = Evaluation(Snapshot.open(RECORDED / "broken"), chosen).node("wc-w1")

    found = [each.found for each in item.findings]
    assert [each.path.result for each in item.findings if each.path] == ["dies", "dies"]
    assert any("routing: no route to" in each for each in found)
    assert any("nobody on cni0 has the address" in each for each in found)


def test_a_rule_for_the_pods_of_one_node_is_named_on_both() -> None:
    rule = "-A FORWARD -s 10.244.2.0/24 -d 10.244.1.0/24 -j DROP"
    change = on("wc-w2", with_rules(rule))

    for node in ("wc-w1", "wc-w2"):
        (finding,) = on_node(node, change).findings
        assert f"the packet dies on wc-w2, forward: dropped by this rule: filter: {rule}" in (
            finding.found
        )
        assert "other pairs of ends share this" in finding.found
        assert "`wirecheck trace pod/" in finding.remedy
        assert finding.path is not None
        assert finding.path.lines == [f"filter: {rule}"]
    assert on_node("wc-cp", change).outcome is Outcome.PASS


def test_every_further_line_is_named() -> None:
    first = "-A FORWARD -s 10.244.2.0/24 -d 10.244.1.0/24 -j DROP"
    second = "-A POSTROUTING -s 10.244.2.0/24 -d 10.244.1.0/24 -j DROP"
    changes = (with_rules(first), with_rules(second, table="mangle"))
    item = on_node("wc-w2", *(on("wc-w2", each) for each in changes))

    (finding,) = item.findings
    assert any(second in each for each in finding.evidence)


def test_a_rule_for_two_pods_of_a_node_is_found() -> None:
    """Each of them reaches all others."""
    one, other = (each.status.pod_ip for each in pods_of("wc-w1")[:2])
    rule = f"-A FORWARD -s {one}/32 -d {other}/32 -j DROP"
    item = on_node("wc-w1", on("wc-w1", with_rules(rule)))

    (finding,) = item.findings
    assert rule in finding.found
    assert finding.found.endswith("; up to 1 other pair of ends share this")


def test_one_pod_that_rules_tell_apart_is_followed_by_itself() -> None:
    pod = pods_of("wc-w1")[1]
    rule = f"-A PREROUTING -s {pod.status.pod_ip}/32 -j DROP"
    item = on_node("wc-w1", on("wc-w1", with_rules(rule, table="raw")))

    parts = {each.object.part for each in item.findings}
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    assert any(name in each for each in parts)
    assert all(rule in each.found for each in item.findings)


def isolated(document: Document) -> None:
    ports = [e for e in document["namespaces"][0]["links"] if e.get("port_kind") == "bridge"]
    for each in ports[:2]:
        each["port_isolated"] = True


def closed(document: Document) -> None:
    port = next(e for e in document["namespaces"][0]["links"] if e.get("port_kind") == "bridge")
    port["port_state"] = 0


def silent(document: Document) -> None:
    """A pod answers no ARP, and its neighbour has no entry for it."""
    pod = pods_of("wc-w1")[0]
    found = netns_of(document, pod)
    found["settings"]["net/ipv4/conf/all/arp_ignore"] = "8"
    for each in document["namespaces"]:
        known = each.get("neighbours", ())
        each["neighbours"] = [e for e in known if e["address"] != pod.status.pod_ip]


def misplaced(document: Document) -> None:
    """The node has an address of its own pod."""
    where = {"index": 1, "address": pods_of("wc-w1")[0].status.pod_ip, "prefix": 32}
    document["namespaces"][0]["addresses"].append(where)


def untunnelled(document: Document) -> None:
    """The other node's tunnel endpoint is gone from the forwarding database."""
    found = document["namespaces"][0]
    found["fdb"] = [e for e in found["fdb"] if e.get("destination") != "172.31.250.12"]


def blackholed(document: Document) -> None:
    route = {"family": 4, "destination": "10.244.2.0/25", "type": "blackhole"}
    document["namespaces"][0]["routes"].append(route)


def shut(document: Document) -> None:
    own(document, "cni0")["flags"].remove("UP")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (isolated, "isolated"),
        (closed, "disabled"),
        (silent, "arp_ignore = 8"),
        (misplaced, "takes the packet of pod"),
        (untunnelled, "FDB of flannel.1"),
        (blackholed, "blackhole 10.244.2.0/25"),
        (shut, "cni0 is down"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_what_cuts_pods_off_is_named(change: Callable[[Document], None], line: str) -> None:
    item = on_node("wc-w1", on("wc-w1", change))

    assert item.outcome is Outcome.FAIL
    assert any(line in each.found for each in item.findings), [e.found for e in item.findings]


def test_without_anything_that_can_be_decided_it_does_not_apply() -> None:
    def older(_: str, document: Document) -> None:
        for each in document["namespaces"]:
            each.pop("programs")

    item = on_node("wc-w1", older)

    assert item.outcome is Outcome.SKIP
    assert "recorded before the trace" in item.reason


SENDERS = ("paths.to_services", "paths.to_dns", "paths.to_api_server", "paths.out_of_the_cluster")


@cache
def checks(*names: str) -> tuple[Check, ...]:
    return tuple(each for each in load() if each.id in names)


def of_senders(node: str, *changes: Change) -> dict[str, ItemResult]:
    """The results of all checks on what a node and its pods send to others than pods."""
    snapshot = ChangedSnapshot(healthy(), *changes)
    found = Evaluation(snapshot, checks(*SENDERS)).node(node)  # type: ignore[arg-type]
    return {each.check.partition(".")[2]: each for each in found}


def lines(item: ItemResult) -> str:
    return "\n".join(each.found for each in item.findings)


def test_what_a_healthy_node_sends_arrives() -> None:
    for item in of_senders("wc-w2").values():
        assert (item.outcome, item.findings) == (Outcome.PASS, [])
        assert set(item.unjudged) <= {POLICY}
        assert item.conclusive


def test_a_rule_for_the_addresses_of_services() -> None:
    rule = "-A PREROUTING -d 10.96.0.0/12 -j DROP"
    items = of_senders("wc-w2", on("wc-w2", with_rules(rule, table="raw")))

    for name in ("to_services", "to_dns", "to_api_server"):
        assert items[name].outcome is Outcome.FAIL
        assert f"the packet dies on wc-w2, prerouting: dropped by this rule: raw: {rule}" in (
            lines(items[name])
        )
        assert "from the node" not in items[name].findings[0].object.part
    assert items["out_of_the_cluster"].outcome is Outcome.PASS


def test_a_rule_for_one_backend_of_a_service_is_named_with_its_share() -> None:
    rule = "-A FORWARD -p udp -m udp --dport 53 -j DROP"
    items = of_senders("wc-w2", on("wc-cp", with_rules(rule)))

    (finding,) = items["to_dns"].findings
    assert f"the packet dies on wc-cp, forward: dropped by this rule: filter: {rule} (with 50%" in (
        finding.found
    )
    assert finding.found.count("the packet dies") == 1
    assert items["to_api_server"].outcome is Outcome.PASS


def test_answers_from_outside_have_to_come_back() -> None:
    rule = "-A FORWARD -i eth0 -o cni0 -j DROP"
    items = of_senders("wc-w2", on("wc-w2", with_rules(rule)))

    item = items["out_of_the_cluster"]
    assert item.outcome is Outcome.WARN
    assert rule in lines(item)
    assert {each.level for each in item.findings} == {"warn"}


def test_what_the_node_itself_sends_is_followed() -> None:
    rule = "-A OUTPUT -d 10.96.0.1/32 -j DROP"
    item = of_senders("wc-w2", on("wc-w2", with_rules(rule, table="raw")))["to_api_server"]

    (finding,) = item.findings
    assert finding.object.part == "from the node to Service default/kubernetes"
    assert finding.found == f"the packet dies on wc-w2, output: dropped by this rule: raw: {rule}"


def unrouted(document: Document) -> None:
    own = document["namespaces"][0]
    own["routes"] = [e for e in own["routes"] if e["destination"] != "default"]


def test_without_a_route_out_nothing_leaves() -> None:
    items = of_senders("wc-w2", on("wc-w2", unrouted))

    assert items["out_of_the_cluster"].outcome is Outcome.SKIP
    assert "no route to 10.96.0." in lines(items["to_dns"])


def deaf(document: Document) -> None:
    for each in document["namespaces"]:
        each["listeners"] = []


def test_where_no_process_listens_packets_still_arrive() -> None:
    items = of_senders("wc-w2", *(on(name, deaf) for name in ("wc-cp", "wc-w1", "wc-w2")))

    assert not any(each.findings for each in items.values())
    assert any("no process listens" in why for why in items["to_services"].unjudged)


def test_a_large_cluster_is_followed_from_some_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sender_paths, "MOST_NODES", 1)

    assert of_senders("wc-cp")["to_dns"].outcome is Outcome.PASS
    item = of_senders("wc-w1")["to_dns"]
    assert (item.outcome, "from 32 nodes" in item.reason) == (Outcome.SKIP, True)


ANOTHER = "12:34:56:78:9a:bc"


def rewritten(document: Document) -> None:
    """A plugin whose pods send to a MAC that only its own program knows."""
    for each in document["namespaces"][1:]:
        gateways = {e.get("gateway") for e in each["routes"]} - {None, ""}
        each["neighbours"] = [
            {
                "index": e["index"],
                "address": where,
                "mac": "12:34:56:78:9a:bc",
                "state": "PERMANENT",
            }
            for e in each["links"]
            if e["name"] == "eth0"
            for where in gateways
        ]


def test_macs_that_a_program_may_rewrite_are_no_finding() -> None:
    changes = [on(name, rewritten) for name in ("wc-cp", "wc-w1", "wc-w2")]
    items = of_senders("wc-w2", *changes)

    assert not items["to_dns"].findings
