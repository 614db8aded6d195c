"""Which failures are likely symptoms of others. Pure.

The table below lists causes and their symptoms on one node, on any node, or for one pod. It only
explains: a symptom keeps its own outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.profiles import PATHS, PATHS_OVER_NODES
from wirecheck.results.records import FindingRecord, ItemResult, Object

PROBLEMS = frozenset({Outcome.FAIL, Outcome.ERROR, Outcome.FLAKY, Outcome.WARN})
"""The outcomes that need attention."""

LOOKUPS = ("dns.pods_resolve_*",)
OF_ONE_POD = (*LOOKUPS, "reachability.*", *PATHS)
SERVICE_DNS = (*LOOKUPS, "dns.nodes_resolve", "dns.parallel_a_aaaa", "dns.latency")
ALL_DNS = (*SERVICE_DNS, "dns.replicas_answer", "dns.records_correct")


Where = Literal["node", "any", "named", "about", "pod", "any pod"]


@dataclass(frozen=True, slots=True)
class Rule:
    """If `cause` has a problem, then problems of `symptoms` likely follow from it.

    `where`: on the same `node`, on `any` node, on the nodes that the cause's findings name
    (`named`) or that the symptom's findings are about (`about`), or only for the same `pod`, on
    the same node or on any (`any pod`).
    """

    cause: str
    symptoms: tuple[str, ...]
    where: Where = "node"
    about: str = ""
    """Text that an object of the cause's findings must contain, such as the name of a Service."""
    only_errors: bool = False
    """Whether it explains errors for the identical reason, and nothing else."""


COMPARED_POLICIES: tuple[tuple[tuple[str, ...], Where], ...] = (
    (("policy.enforced",), "about"),
    (("policy.uniform_across_nodes",), "any"),
)
"""Checks that compare what nodes do with policies, and where the cause of a difference is."""

OVER_THE_OVERLAY = (
    *PATHS_OVER_NODES,
    "dns.replicas_answer",
    "reachability.pod_to_pod",
    "reachability.large_payloads",
    "reachability.large_payloads_between_nodes",
    # A Service forwards some connections of its own endpoints to endpoints on other nodes.
    "reachability.service_hairpin",
    # The same is true of node ports, and of the Service of the cluster's DNS.
    "reachability.node_ports",
    *SERVICE_DNS,
)

TRAFFIC = ("policy.denied_traffic", "policy.allowed_traffic")
OUTSIDE = ("reachability.api_server", "dns.external_names")
"""Connections of pods to servers outside the pod network, for which they are masqueraded."""

ON_ONE_NODE = (
    "reachability.service_hairpin",
    "reachability.service_same_node",
)
"""Connections that are forwarded back to the pod or the node that they come from."""

HOST_PORT = "to host port of Pod "
"""How a part begins to name the pod that was to be reached at a host port."""

RULES = (
    Rule("pods.ip_on_interface", OF_ONE_POD, "pod"),
    Rule("pods.have_netns", (*OF_ONE_POD, "links.*"), "pod"),
    Rule("links.veth_pairs_complete", OF_ONE_POD, "pod"),
    Rule("links.up", OF_ONE_POD, "pod"),
    Rule("links.attached", (*OF_ONE_POD, "policy.denied_traffic"), "pod"),
    Rule("links.attached", ("policy.enforced",), "about"),
    Rule("routes.pod_default_route", OF_ONE_POD, "pod"),
    Rule("links.gateway_answers", OF_ONE_POD, "pod"),
    Rule("firewall.pod_interfaces", OF_ONE_POD, "pod"),
    Rule("cni.agent_responds", ("policy.enforcer_in_sync",)),
    Rule("policy.enforcer_in_sync", ("firewall.policy_chains", *TRAFFIC)),
    Rule("firewall.policy_chains", TRAFFIC),
    *(
        Rule(cause, ("policy.*",))
        for cause in (
            *("firewall.kubernetes_chains_called", "firewall.pod_interfaces"),
            "nodes.bridge_nf_call",
        )
    ),
    *(
        Rule(cause, symptoms, where)
        for cause in (
            *("policy.enforcer_in_sync", "firewall.kubernetes_chains_called"),
            *("firewall.policy_chains", "firewall.pod_interfaces", "nodes.bridge_nf_call"),
        )
        for symptoms, where in COMPARED_POLICIES
    ),
    Rule("policy.allowed_traffic", OF_ONE_POD, "pod"),
    Rule("policy.audit_mode_off", ("policy.denied_traffic",)),
    Rule("policy.audit_mode_off", ("policy.enforced",), "about"),
    Rule("policy.enforced", ("policy.denied_traffic",), "named"),
    Rule("policy.enforced", ("policy.uniform_across_nodes",), "any"),
    Rule("firewall.forwards_pods", ("policy.allowed_traffic",)),
    *(
        Rule(cause, ("reachability.host_ports",), "any pod")
        for cause in (
            *("pods.ip_on_interface", "links.veth_pairs_complete", "links.up", "links.attached"),
            *("links.gateway_answers", "firewall.pod_interfaces"),
        )
    ),
    Rule("pods.have_netns", ("*",), only_errors=True),
    Rule("cni.single_config", ("nodes.network_ready", "nodes.ready")),
    Rule("nodes.network_ready", ("nodes.ready",)),
    Rule("nodes.ip_forward", (*ALL_DNS, "reachability.*", *PATHS)),
    Rule("nodes.ip_forward", (*OVER_THE_OVERLAY, "reachability.host_ports"), "any"),
    Rule("cni.agent_responds", ("reachability.health_check_node_ports",), "any"),
    Rule("cni.agent_responds", ("reachability.node_ports", "nodes.network_ready")),
    Rule(
        "cni.devices_up",
        (*ALL_DNS, "overlay.*", "routes.to_every_node", "reachability.*", *PATHS),
    ),
    Rule("cni.devices_up", (*OVER_THE_OVERLAY, "reachability.host_ports"), "any"),
    Rule("nodes.no_foreign_addresses", OVER_THE_OVERLAY),
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
            *PATHS,
        ),
    ),
    Rule("firewall.forwards_pods", (*OVER_THE_OVERLAY, "reachability.host_ports"), "any"),
    Rule("firewall.forwards_dns", (*LOOKUPS, "reachability.large_payloads")),
    Rule("overlay.mtu", ("reachability.large_payloads",), "any"),
    Rule("pods.egress_masqueraded", OUTSIDE),
    Rule("pods.egress_uniform", OUTSIDE, "named"),
    Rule("routes.to_every_node", OVER_THE_OVERLAY, "any"),
    Rule("routes.no_blackholes", OVER_THE_OVERLAY, "any"),
    Rule("routes.not_shadowed", OVER_THE_OVERLAY, "any"),
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
    # An agent that does not follow the API follows neither Services nor pods.
    Rule("services.no_stale_backends", ("ebpf.pod_identities",)),
    Rule("ebpf.tunnel_endpoints", OVER_THE_OVERLAY),
    Rule("ebpf.pod_endpoints", OF_ONE_POD, "any pod"),
    # The agents and the kubelet connect from the node itself.
    Rule("ebpf.socket_programs", (*SERVICE_DNS, "reachability.*")),
    Rule("services.*", ("services.nodes_agree",), "any"),
    Rule("dns.replicas_ready", ("dns.replicas_answer", *SERVICE_DNS), "any"),
    Rule("endpoints.selector_matches", ("dns.replicas_*", *SERVICE_DNS, "dns.resolv_conf"), "any"),
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
"""Causes with their symptoms. If several causes fit, the first one in this order counts."""

MILD = frozenset({Outcome.FLAKY, Outcome.WARN})
"""Outcomes that explain only their like."""
ItemKey = tuple[str, str]
"""(check, node)."""


def symptoms(items: Iterable[ItemResult]) -> Mapping[ItemKey, ItemKey]:
    """The likely cause of each item that is a symptom of another one.

    An item is not a symptom if only some of its findings follow from the cause.
    """
    problems = [item for item in items if item.outcome in PROBLEMS and not item.folded]
    at = {(item.check, item.node): item for item in problems}
    first = {item.check: item for item in reversed(problems)}
    found: dict[ItemKey, ItemKey] = {}
    traced = _traced_together(problems)
    for rule in RULES:
        for check in [each for each in first if fnmatchcase(each, rule.cause)]:
            for item in problems:
                key = (item.check, item.node)
                cause = _item_of(check, item.node, at)
                if cause is None and rule.where in ("any", "any pod"):
                    cause = first[check]
                if cause is None and rule.where == "about":
                    cause = _on_nodes_of(item, check, at)
                if cause is None or key in found or not _is_symptom(item, rule, check):
                    continue
                if _explains(cause, item, rule):
                    found[key] = (check, cause.node)
    for group in traced:
        found |= _of_group(group, found)
    return {key: _first(key, found) for key in found}


def _traced_together(problems: Iterable[ItemResult]) -> list[list[ItemKey]]:
    """The items all of whose packets die at the same line, if several do."""
    groups: dict[tuple[object, ...], list[ItemKey]] = {}
    for item in problems:
        places = {_place_of(each) for each in item.findings}
        if len(places) == 1 and (place := places.pop()):
            groups.setdefault((item.outcome in MILD, *place), []).append((item.check, item.node))
    return [group for group in groups.values() if len(group) > 1]


def _place_of(finding: FindingRecord) -> tuple[str, ...]:
    """The hop and the lines at which its packets die; empty if that is not known."""
    path = finding.path
    if path is None or path.result != "dies":
        return ()
    return (path.node, path.netns, path.stage, *(path.lines or [path.why]))


def _of_group(group: Sequence[ItemKey], found: Mapping[ItemKey, ItemKey]) -> dict[ItemKey, ItemKey]:
    """The cause of every item of a group: that of one of them, otherwise the first item."""
    outside = (found[key] for key in group if key in found and found[key] not in group)
    cause = next(outside, group[0])
    return {key: cause for key in group if key != cause}


def _is_symptom(item: ItemResult, rule: Rule, cause: str) -> bool:
    return item.check != cause and any(fnmatchcase(item.check, each) for each in rule.symptoms)


def _explains(cause: ItemResult, item: ItemResult, rule: Rule) -> bool:
    if rule.only_errors or cause.outcome is Outcome.ERROR:
        # What could not be read explains nothing but the same sentence at another check.
        is_same = item.reason == cause.reason != ""
        return is_same and item.outcome is cause.outcome is Outcome.ERROR
    if cause.outcome in MILD and item.outcome is not cause.outcome:
        return False
    if rule.about and not any(rule.about in str(each.object) for each in cause.findings):
        return False
    if rule.where == "named":
        return any(each.object.name == item.node for each in cause.findings)
    pods = {_named(each.object) for each in cause.findings}
    is_for_pods = rule.where in ("pod", "any pod")
    return not is_for_pods or all(pods & _pods_of(each, item.check) for each in item.findings)


def _item_of(check: str, node: str, at: Mapping[ItemKey, ItemResult]) -> ItemResult | None:
    """The result of a check on the node, or else on the cluster."""
    return at.get((check, node)) or at.get((check, ""))


def _on_nodes_of(
    item: ItemResult, check: str, at: Mapping[ItemKey, ItemResult]
) -> ItemResult | None:
    """The result of a check on the first of the nodes that findings are about, if all have one."""
    found = [at.get((check, e.object.name)) for e in item.findings if e.object.kind == "Node"]
    is_of_all = len(found) == len(item.findings) and None not in found
    return found[0] if found and is_of_all else None


def _pod_of(finding: FindingRecord) -> str:
    """`Pod shop/web-1`: the pod that the finding is about, or from which a probe was sent.

    For a host port it is the pod that has it.
    """
    _, is_host_port, target = finding.object.part.partition(HOST_PORT)
    if is_host_port:
        return f"Pod {target.split()[0]}" if target else ""
    words = finding.object.part.split()
    return f"Pod {words[1]}" if words[:1] == ["from"] else _named(finding.object)


def _pods_of(finding: FindingRecord, check: str) -> frozenset[str]:
    """The pods at whose end the fault of a finding may be: for a path either of them."""
    found = {_pod_of(finding)}
    if check in PATHS:
        _, _, target = finding.object.part.rpartition(" to Pod ")
        found.add(f"Pod {target}")
    return frozenset(found)


def _named(each: Object) -> str:
    return f"{each.kind} {each.namespace}/{each.name}"


def _first(key: ItemKey, found: Mapping[ItemKey, ItemKey]) -> ItemKey:
    """The cause at the end of a chain of causes."""
    seen = {key}
    while (key := found[key]) in found and key not in seen:
        seen.add(key)
    return key
