"""The iptables chains of kube-proxy and the kubelet: a closed list.

`KUBE-` at the beginning of a name proves nothing. CRI-O and kubenet write host ports into
KUBE-HOSTPORTS and KUBE-HP-*, kube-router its policies into KUBE-ROUTER-*, KUBE-POD-FW-* and
KUBE-NWPLCY-*.

Source: pkg/proxy/{iptables,ipvs,userspace} and pkg/kubelet/kubelet_network_linux.go of
Kubernetes, all versions from 1.19 on.
"""

from __future__ import annotations

import re

_IPTABLES_MODE = (
    *("KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-POSTROUTING"),
    *("KUBE-FORWARD", "KUBE-PROXY-FIREWALL", "KUBE-PROXY-CANARY", "KUBE-FIREWALL"),
    *("KUBE-MARK-MASQ", "KUBE-MARK-DROP"),
)
_IPVS_MODE = (
    *("KUBE-NODE-PORT", "KUBE-LOAD-BALANCER", "KUBE-SOURCE-RANGES-FIREWALL"),
    *("KUBE-IPVS-FILTER", "KUBE-IPVS-OUT-FILTER"),
)
_USERSPACE_MODE = (
    *("KUBE-PORTALS-CONTAINER", "KUBE-PORTALS-HOST", "KUBE-NODEPORT-CONTAINER"),
    *("KUBE-NODEPORT-HOST", "KUBE-NODEPORT-NON-LOCAL"),
)
_KUBELET = ("KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT")

NAMES = frozenset((*_IPTABLES_MODE, *_IPVS_MODE, *_USERSPACE_MODE, *_KUBELET))
OF_SERVICES = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-EXT-", "KUBE-FW-", "KUBE-XLB-")
"""Prefixes of the chains of single Services and endpoints, each followed by a hash."""

_ANY = "|".join([*sorted(NAMES), *(f"{prefix}\\S+" for prefix in OF_SERVICES)])
_DECLARED = re.compile(rf"^(?::|-A )(?:{_ANY})(?= |$)", re.MULTILINE)
_RULE = re.compile(rf"-A (?:{_ANY})(?= |$)|-A \S+ (?:.* )?-[jg] (?!KUBE-MARK-)(?:{_ANY})(?= |$)")


def is_kubernetes(chain: str) -> bool:
    """Whether kube-proxy or the kubelet writes the chain."""
    return chain in NAMES or chain.startswith(OF_SERVICES)


def has_kubernetes_chains(text: str) -> bool:
    """Whether the output of iptables-save has a chain of kube-proxy or of the kubelet."""
    return _DECLARED.search(text) is not None


def is_kubernetes_rule(line: str) -> bool:
    """Whether a rule is in one of these chains, or calls one.

    Third-party rules may call KUBE-MARK-MASQ and KUBE-MARK-DROP.
    """
    return _RULE.match(line) is not None
