"""The only module for permitted differences from the API.

Two more differences never appear: the engine does not reach chains that nothing calls, which
kube-proxy deletes late or never, and it rounds shares (`handlings.EVEN`).
"""

from __future__ import annotations

from wirecheck.addresses import network
from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.clients import Intervals, difference, intersection, intervals
from wirecheck.dataplane.kube_chains import is_kubernetes
from wirecheck.dataplane.table import Entry, Handling, Verdict

KUBE_PROXY = "kube-proxy"
"""`programmed_by` of kube-proxy's own nftables tables and virtual servers."""
CILIUM = "Cilium's eBPF maps"
"""`programmed_by` of the entries of Cilium's eBPF maps."""


def stays_on_node(found: Handling) -> bool:
    """NodeLocal DNSCache exempts the DNS Service's address from NAT and answers on it itself.

    With a reason the address is not the node's: then the packets are lost.
    """
    return found.verdict is Verdict.UNTRACKED and not found.reason


def is_refused_anyway(wanted: Handling, found: Handling) -> bool:
    """A Service without endpoints refuses everyone, but may drop some clients and reject others.

    CNI plugins write rules for the egress policies of single pods in front of kube-proxy's, and
    owners of nodes block lists. Such a rule may be for all clients of a kind: what it refuses is
    refused by the Service as well.
    """
    ends = (Verdict.REJECT, Verdict.DROP)
    is_for_some = bool(found.allowed) or (found.third_party and found.by_source)
    return wanted.verdict in ends and found.verdict in ends and is_for_some


def is_left_to_others(wanted: Handling, found: Handling) -> bool:
    """Whether third-party rules forward what kube-proxy does not handle at this address.

    A host port is open at all addresses of the node, a node port of nftables mode only at some.
    """
    return wanted.verdict is Verdict.NOTHING and found.third_party


def is_lost_anyway(wanted: Handling, found: Handling) -> bool:
    """Whether a packet that should be dropped leaves the node instead, as a policy accepts it.

    Clients wait for an answer either way.
    """
    return wanted.verdict is Verdict.DROP and found.verdict is Verdict.NOTHING and found.by_mark


def without_lost(wanted: Handling, found: Handling) -> Handling:
    """What was found, without clients whose packets are accepted although they are not allowed.

    Firewalls of containers and virtual machines accept all that these send, before the Service
    refuses everybody outside of its ranges. Nothing translates such packets, so that they are lost.
    """
    if found.verdict is not Verdict.MIXED or wanted.allowed is None:
        return found
    wide = _spans(wanted.allowed)
    parts = [each for each in found.parts if not _is_lost(each, wide)]
    kept = [each for each in parts if each.verdict is not Verdict.DROP]
    return kept[0] if len(kept) == 1 and len(parts) < len(found.parts) else found


def _is_lost(part: Handling, allowed: Intervals) -> bool:
    is_accepted = part.verdict is Verdict.NOTHING and part.third_party
    return is_accepted and not intersection(_spans(part.allowed or ()), allowed)


def allows_the_same(wanted: Handling, found: Handling) -> bool:
    """Whether the same sources are allowed, apart from banned ones outside the cluster.

    A ban is a decision of the node's owner; firewall.source_bans reports it once.
    """
    if wanted.allowed == found.allowed or not found.banned:
        return wanted.allowed == found.allowed
    if wanted.allowed is None:
        return False
    left = found.admitted if found.allowed is None else found.allowed
    return difference(_spans(wanted.allowed), _spans(found.banned)) == _spans(left)


def _spans(texts: tuple[str, ...]) -> Intervals:
    return intervals(map(network, texts))


def is_draining(found: Handling, backend: Backend) -> bool:
    """kube-proxy removes a backend from IPVS in two steps: weight 0 until its connections end.

    Not tolerated for an endpoint that should get connections: that one is missing.
    """
    return backend in found.draining


def is_foreign(entry: Entry) -> bool:
    """Third-party rules: port mappings of containers, an administrator's own DNAT."""
    by = entry.programmed_by
    return not (by.startswith((KUBE_PROXY, CILIUM)) or is_kubernetes(by))
