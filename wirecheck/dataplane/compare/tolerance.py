"""What may differ from the API without being wrong; everything of this kind is here.

Two more things need no word: chains that nothing leads to, which kube-proxy deletes late or
never, are not met on a walk; and shares are evened out on reading (`fold.EVEN`).
"""

from __future__ import annotations

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.table import Entry, Handling, Verdict

KUBE_PROXY = "kube-proxy"
"""`programmed_by` of what is kube-proxy's by its nature: its nftables tables, its IPVS."""


def stays_on_node(found: Handling) -> bool:
    """NodeLocal DNSCache exempts the DNS Service's address from NAT and answers on it itself.

    With a reason the address is not the node's: then the packets leave for nowhere.
    """
    return found.verdict is Verdict.UNTRACKED and not found.reason


def is_refused_anyway(wanted: Handling, found: Handling) -> bool:
    """A Service without endpoints refuses everyone, and some clients otherwise than others.

    CNI plugins write rules for the egress policies of single pods ahead of kube-proxy's.
    """
    ends = (Verdict.REJECT, Verdict.DROP)
    return wanted.verdict in ends and found.verdict in ends and bool(found.allowed)


def is_draining(found: Handling, backend: Backend) -> bool:
    """Removed from IPVS in two steps: weight 0 until its connections have ended.

    Not tolerated for an endpoint that should have connections: that one is missing.
    """
    return backend in found.draining


def is_foreign(entry: Entry) -> bool:
    """Programmed by others: port mappings of containers, an administrator's own DNAT.

    Only kube-proxy and the kubelet give their chains names that begin with KUBE-.
    """
    return not entry.programmed_by.startswith(("KUBE-", KUBE_PROXY))
