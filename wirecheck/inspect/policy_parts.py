"""Peers and rules of NetworkPolicies, as views and as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import field

from wirecheck.addresses import IPNetwork
from wirecheck.api_index.pod import Pod
from wirecheck.inspect.parts import View
from wirecheck.policy.peers import Outside, Peer, PodClass
from wirecheck.snapshot.objects.network_policy import LabelSelector, PolicyPeer, PolicyPort
from wirecheck.text import listed, plural

MOST_WORKLOADS = 3
MOST_NAMES = 100


class PeersView(View, frozen=True, kw_only=True):
    """Pods, nodes or addresses that policies cannot tell apart."""

    kind: str
    """`pods`, `nodes` or `addresses`."""
    namespace: str = ""
    workloads: list[str] = field(default_factory=list)
    """The owners of the pods: `Deployment/web`."""
    pods: list[str] = field(default_factory=list)
    """The names of the pods; 100 at most."""
    count: int = 0
    """The number of pods."""
    addresses: list[str] = field(default_factory=list)
    """The ranges of addresses; empty for all that no ipBlock covers."""
    text: str
    """The peers in a few words."""


def peers_view(
    peer: Peer,
    classes: Mapping[PodClass, Sequence[Pod]],
    outsides: Mapping[Outside, Sequence[IPNetwork]],
) -> PeersView:
    """The view of one peer."""
    if isinstance(peer, Outside):
        return _addresses(peer, outsides)
    if peer not in classes:
        return PeersView(kind="nodes", text="nodes and pods on the host network")
    return pods_view(peer.namespace, classes[peer])


def pods_view(namespace: str, pods: Sequence[Pod]) -> PeersView:
    """The view of some pods of a namespace."""
    workloads = sorted({each.ref.workload for each in pods})
    words = f"{listed(workloads, MOST_WORKLOADS)} in {namespace} ({plural(len(pods), 'pod')})"
    return PeersView(
        kind="pods",
        namespace=namespace,
        workloads=workloads[:MOST_NAMES],
        pods=sorted(each.name for each in pods)[:MOST_NAMES],
        count=len(pods),
        text=words,
    )


def _addresses(peer: Outside, outsides: Mapping[Outside, Sequence[IPNetwork]]) -> PeersView:
    if not peer.covered_by:
        others = "all other addresses" if len(outsides) > 1 else "addresses of no pod"
        return PeersView(kind="addresses", text=others)
    ranges = [str(each) for each in outsides[peer]]
    return PeersView(
        kind="addresses",
        addresses=ranges[:MOST_NAMES],
        text=f"addresses in {' and in '.join(sorted(peer.covered_by))}",
    )


def selector_text(selector: LabelSelector) -> str:
    """`app=web, tier in (a, b)`; empty for a selector that matches everything."""
    words = [f"{key}={value}" for key, value in selector.match_labels.items()]
    for each in selector.match_expressions:
        match each.operator:
            case "In" | "NotIn":
                operator = "in" if each.operator == "In" else "not in"
                words.append(f"{each.key} {operator} ({', '.join(each.values)})")
            case "Exists":
                words.append(each.key)
            case "DoesNotExist":
                words.append(f"!{each.key}")
            case _:
                words.append(f"{each.key} {each.operator} {', '.join(each.values)}".rstrip())
    return ", ".join(words)


def peer_text(peer: PolicyPeer, namespace: str) -> str:
    """A peer of a rule in words; `namespace` is the policy's own."""
    if peer.ip_block is not None:
        excluded = peer.ip_block.excluded
        return peer.ip_block.cidr + (f" except {', '.join(excluded)}" if excluded else "")
    labels = selector_text(peer.pod_selector) if peer.pod_selector else ""
    pods = f"pods with {labels}" if labels else "all pods"
    if peer.namespace_selector is None:
        return f"{pods} in {namespace}"
    spaces = selector_text(peer.namespace_selector)
    return f"{pods} in namespaces with {spaces}" if spaces else f"{pods} in all namespaces"


def port_text(port: PolicyPort) -> str:
    """`TCP 80-90`, `TCP http`, `all UDP ports`."""
    if port.port is None:
        return f"all {port.protocol} ports"
    end = "" if port.end_port is None else f"-{port.end_port}"
    return f"{port.protocol} {port.port}{end}"
