"""Which findings are likely symptoms of others: the cause first, its symptoms beneath. Pure.

The table below says what follows from what on one node, or from one pod. It explains, and
never judges: a symptom keeps its own outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from wirecheck.catalogue.findings import Outcome
from wirecheck.results.records import FindingRecord, ItemResult, Object

RED = frozenset({Outcome.FAIL, Outcome.ERROR, Outcome.WARN})
LOOKUPS = ("dns.answers_every_pod_*",)
OF_ONE_POD = (*LOOKUPS, "reachability.*")
ALL_DNS = ("dns.answers_*", "dns.replicas_answer", "dns.names_are_right")


@dataclass(frozen=True, slots=True)
class Rule:
    """If `cause` is red, then what is red of `symptoms` there likely follows from it.

    `where`: on the same `node`; on `any` node; or about the same `pod` alone.
    """

    cause: str
    symptoms: tuple[str, ...]
    where: Literal["node", "any", "pod"] = "node"
    about: str = ""
    """A word that the cause's findings must hold, such as the name of a Service."""


OVER_THE_OVERLAY = (
    "dns.replicas_answer",
    "reachability.pods_reach_pods_of_other_nodes",
    "reachability.large_messages_pass",
    # A Service leads a part of its own endpoints' connections to those of other nodes.
    "reachability.pods_reach_themselves_through_services",
)

ON_ONE_NODE = (
    "reachability.pods_reach_themselves_through_services",
    "reachability.services_reach_pods_of_the_same_node",
)
"""What is led back to the pod or the node that it comes from."""

PORTS_ON_THE_WIRE = ("reachability.node_ports_answer", "reachability.host_ports_answer")

RULES = (
    Rule("pods.carry_their_addresses", OF_ONE_POD, "pod"),
    Rule("pods.have_a_netns", (*OF_ONE_POD, "links.*"), "pod"),
    Rule("links.are_whole", OF_ONE_POD, "pod"),
    Rule("links.are_up", OF_ONE_POD, "pod"),
    Rule("links.are_attached_to_the_node", OF_ONE_POD, "pod"),
    Rule("routes.lead_out_of_every_pod", OF_ONE_POD, "pod"),
    Rule("cni.has_one_configuration", ("nodes.have_a_network_for_pods", "nodes.ready")),
    Rule("nodes.have_a_network_for_pods", ("nodes.ready",)),
    Rule("nodes.forward_packets", (*ALL_DNS, "reachability.*")),
    Rule("nodes.forward_packets", PORTS_ON_THE_WIRE, "any"),
    Rule("nodes.filter_bridged_packets", ("reachability.services_reach_pods_of_the_same_node",)),
    Rule("links.reach_themselves", ("reachability.pods_reach_themselves_through_services",)),
    Rule(
        "firewall.lets_pods_through",
        (*ALL_DNS, "firewall.lets_dns_through", "services.sources*", "reachability.*"),
    ),
    Rule("firewall.lets_pods_through", PORTS_ON_THE_WIRE, "any"),
    Rule("firewall.lets_dns_through", (*LOOKUPS, "reachability.large_messages_pass")),
    Rule("overlay.fits_the_wire", ("reachability.large_messages_pass",), "any"),
    Rule("routes.lead_to_every_node", OVER_THE_OVERLAY, "any"),
    Rule("overlay.is_as_announced", (*OVER_THE_OVERLAY, "overlay.knows_every_node"), "any"),
    Rule("overlay.knows_every_node", OVER_THE_OVERLAY, "any"),
    Rule("reachability.nodes_reach_each_other", OVER_THE_OVERLAY),
    Rule(
        "settings.take_in_what_comes_another_way",
        (*OVER_THE_OVERLAY, "settings.are_alike_in_a_pool"),
        "any",
    ),
    Rule("overlay.fits_the_wire", ("settings.are_alike_in_a_pool",), "any"),
    Rule("links.have_equal_mtu", ("settings.are_alike_in_a_pool",), "any"),
    Rule("pods.share_no_address", LOOKUPS, "any"),
    Rule("pods.share_no_address", OF_ONE_POD, "pod"),
    Rule("cni.has_one_configuration", ("pods.are_in_the_nodes_range",)),
    Rule("kube_proxy.runs_in_its_configured_mode", ("kube_proxy.left_nothing_of_another_mode",)),
    Rule("kube_proxy.says_that_it_is_healthy", ("services.*", "kube_proxy.keeps_up_with_changes")),
    Rule("kube_proxy.keeps_up_with_changes", ("services.*",)),
    Rule("services.rules_are_reached", ("dns.answers_*", *ON_ONE_NODE, "reachability.the_api_*")),
    Rule("kube_proxy.says_that_it_is_healthy", ("reachability.health_checks_*",), "any"),
    Rule("services.rules_are_reached", ("reachability.node_ports_answer",), "any"),
    Rule(
        "services.frontends_are_not_shadowed",
        ("reachability.node_ports_answer", "reachability.local_node_ports_answer_nowhere_else"),
        "any",
    ),
    Rule("routes.local_addresses_come_first", ("dns.*", "reachability.*", "nodes.ready")),
    Rule("cni.host_ports_lead_to_their_pods", ("reachability.host_ports_answer",), "any"),
    Rule("services.sources_are_masqueraded", ("dns.answers_the_node", *ON_ONE_NODE)),
    Rule("services.frontends_are_programmed", ("dns.answers_*",), about="kube-dns"),
    Rule("services.backends_exist", ("services.backends_are_programmed",)),
    Rule("services.*", ("services.nodes_agree",), "any"),
    Rule("dns.replicas_are_ready", ("dns.replicas_answer", "dns.answers_*"), "any"),
    Rule("dns.kubelet_names_the_clusters_dns", ("dns.resolv_conf_is_the_clusters",)),
    Rule("coredns.serves_the_clusters_domain", ALL_DNS, "any"),
    Rule(
        "coredns.may_read_what_it_serves",
        (*ALL_DNS, "dns.replicas_are_ready", "dns.unknown_names_do_not_exist"),
        "any",
    ),
    Rule("conntrack.loses_nothing", ("dns.queries_are_not_lost", "dns.answers_both_*")),
    Rule("conntrack.has_room", (*LOOKUPS, "conntrack.loses_nothing")),
)
"""From the cause to its symptoms; where several fit, the first cause in this order counts."""

Place = tuple[str, str]
"""(check, node)."""


def symptoms(items: Iterable[ItemResult]) -> Mapping[Place, Place]:
    """For each red item that likely follows from another one: from which.

    An item of which only some findings follow from a cause is told for itself.
    """
    red = [item for item in items if item.outcome in RED and not item.folded]
    at = {(item.check, item.node): item for item in red}
    first = {item.check: item for item in reversed(red)}
    found: dict[Place, Place] = {}
    for rule in RULES:
        for check in [each for each in first if fnmatchcase(each, rule.cause)]:
            for item in red:
                place = (item.check, item.node)
                cause = first[check] if rule.where == "any" else _there(check, item.node, at)
                if cause is None or place in found or not _is_symptom(item, rule, check):
                    continue
                if _explains(cause, item, rule):
                    found[place] = (check, cause.node)
    return {place: _first(place, found) for place in found}


def _is_symptom(item: ItemResult, rule: Rule, cause: str) -> bool:
    return item.check != cause and any(fnmatchcase(item.check, each) for each in rule.symptoms)


def _explains(cause: ItemResult, item: ItemResult, rule: Rule) -> bool:
    if rule.about and not any(rule.about in str(each.object) for each in cause.findings):
        return False
    pods = {_named(each.object) for each in cause.findings}
    return rule.where != "pod" or all(_pod_of(each) in pods for each in item.findings)


def _there(check: str, node: str, at: Mapping[Place, ItemResult]) -> ItemResult | None:
    """What a check told of a node, or else of the cluster."""
    return at.get((check, node)) or at.get((check, ""))


def _pod_of(finding: FindingRecord) -> str:
    """`Pod shop/web-1`, which it is about, or from which something was tried."""
    words = finding.object.part.split()
    return f"Pod {words[1]}" if words[:1] == ["from"] else _named(finding.object)


def _named(each: Object) -> str:
    return f"{each.kind} {each.namespace}/{each.name}"


def _first(place: Place, found: Mapping[Place, Place]) -> Place:
    """The cause at the end of a chain of causes."""
    seen = {place}
    while (place := found[place]) in found and place not in seen:
        seen.add(place)
    return place
