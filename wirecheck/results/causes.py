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
LOOKUPS = ("dns.pods_resolve_*",)
OF_ONE_POD = (*LOOKUPS, "reachability.*")
SERVICE_DNS = (*LOOKUPS, "dns.nodes_resolve", "dns.parallel_a_aaaa", "dns.latency")
ALL_DNS = (*SERVICE_DNS, "dns.replicas_answer", "dns.records_correct")


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
    "reachability.pod_to_pod",
    "reachability.large_payloads",
    # A Service leads a part of its own endpoints' connections to those of other nodes.
    "reachability.service_hairpin",
)

ON_ONE_NODE = (
    "reachability.service_hairpin",
    "reachability.service_same_node",
)
"""What is led back to the pod or the node that it comes from."""

PORTS_ON_THE_WIRE = ("reachability.node_ports", "reachability.host_ports")

RULES = (
    Rule("pods.ip_on_interface", OF_ONE_POD, "pod"),
    Rule("pods.have_netns", (*OF_ONE_POD, "links.*"), "pod"),
    Rule("links.veth_pairs_complete", OF_ONE_POD, "pod"),
    Rule("links.up", OF_ONE_POD, "pod"),
    Rule("links.attached", OF_ONE_POD, "pod"),
    Rule("routes.pod_default_route", OF_ONE_POD, "pod"),
    Rule("cni.single_config", ("nodes.network_ready", "nodes.ready")),
    Rule("nodes.network_ready", ("nodes.ready",)),
    Rule("nodes.ip_forward", (*ALL_DNS, "reachability.*")),
    Rule("nodes.ip_forward", PORTS_ON_THE_WIRE, "any"),
    Rule("nodes.bridge_nf_call", ("reachability.service_same_node",)),
    Rule("links.hairpin", ("reachability.service_hairpin",)),
    Rule(
        "firewall.forwards_pods",
        (
            *ALL_DNS,
            "firewall.forwards_dns",
            "services.source_ranges",
            "services.masquerade",
            "reachability.*",
        ),
    ),
    Rule("firewall.forwards_pods", PORTS_ON_THE_WIRE, "any"),
    Rule("firewall.forwards_dns", (*LOOKUPS, "reachability.large_payloads")),
    Rule("overlay.mtu", ("reachability.large_payloads",), "any"),
    Rule("routes.to_every_node", OVER_THE_OVERLAY, "any"),
    Rule("overlay.matches_annotations", (*OVER_THE_OVERLAY, "overlay.peers_complete"), "any"),
    Rule("overlay.peers_complete", OVER_THE_OVERLAY, "any"),
    Rule("reachability.node_to_node", OVER_THE_OVERLAY),
    Rule(
        "settings.rp_filter",
        (*OVER_THE_OVERLAY, "settings.uniform_in_pool"),
        "any",
    ),
    Rule("overlay.mtu", ("settings.uniform_in_pool",), "any"),
    Rule("links.equal_mtu", ("settings.uniform_in_pool",), "any"),
    Rule("pods.unique_ips", LOOKUPS, "any"),
    Rule("pods.unique_ips", OF_ONE_POD, "pod"),
    Rule("cni.single_config", ("pods.ip_in_node_range",)),
    Rule("kube_proxy.configured_mode", ("kube_proxy.no_leftover_mode",)),
    Rule("kube_proxy.healthz", ("services.*", "kube_proxy.sync_lag")),
    Rule("kube_proxy.sync_lag", ("services.*",)),
    Rule("services.rules_reachable", (*SERVICE_DNS, *ON_ONE_NODE, "reachability.api_server")),
    Rule("kube_proxy.healthz", ("reachability.health_check_node_ports",), "any"),
    Rule("services.rules_reachable", ("reachability.node_ports",), "any"),
    Rule(
        "services.not_shadowed",
        ("reachability.node_ports", "reachability.local_node_ports"),
        "any",
    ),
    Rule("routes.local_table_first", ("dns.*", "reachability.*", "nodes.ready")),
    Rule("cni.host_ports_mapped", ("reachability.host_ports",), "any"),
    Rule("services.masquerade", ("dns.nodes_resolve", *ON_ONE_NODE)),
    Rule("services.frontends_programmed", SERVICE_DNS, about="kube-dns"),
    Rule("services.no_stale_backends", ("services.backends_programmed",)),
    Rule("services.*", ("services.nodes_agree",), "any"),
    Rule("dns.replicas_ready", ("dns.replicas_answer", *SERVICE_DNS), "any"),
    Rule("dns.kubelet_cluster_dns", ("dns.resolv_conf",)),
    Rule("coredns.serves_cluster_domain", ALL_DNS, "any"),
    Rule(
        "coredns.rbac",
        (*ALL_DNS, "dns.replicas_ready", "dns.nxdomain"),
        "any",
    ),
    Rule("conntrack.no_drops", ("dns.no_packet_loss", "dns.parallel_a_aaaa")),
    Rule("conntrack.table_usage", (*LOOKUPS, "conntrack.no_drops")),
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
