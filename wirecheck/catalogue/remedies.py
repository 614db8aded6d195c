"""Remedies: what to run next, with the names that a finding knows filled in.

A remedy holds placeholders such as `{pod}`. Reports fill them in for each finding; what no
finding knows, and the page of a check, shows as a word in capitals: `POD`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping

PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")

STANDARD = {
    "node": "the node that was checked",
    "pod": "the pod that the finding is about",
    "namespace": "the namespace of the finding's object",
    "service": "the Service that the finding is about",
    "netns": "the path of the pod's network namespace on the node",
    "kube_proxy_pod": "kube-proxy's pod on the node",
    "cni_pod": "the pod of the CNI plugin's agent on the node",
    "cni_namespace": "its namespace",
    "dns_service": "the first address of the DNS Service",
    "dns_domain": "the cluster's DNS domain",
}
"""The placeholders that every finding fills in where it can; a check may add `names` of its own."""


def filled(remedy: str, names: Mapping[str, str]) -> str:
    """The remedy with these names, each quoted for a shell; what is not known stays in capitals."""

    def value(match: re.Match[str]) -> str:
        known = names.get(match[1], "")
        return shlex.quote(known) if known else match[1].upper()

    return PLACEHOLDER.sub(value, remedy)


def general(remedy: str) -> str:
    """The remedy for a reader who has no finding: every name in capitals."""
    return filled(remedy, {})


def placeholders(remedy: str) -> set[str]:
    """The names that the remedy would like to have."""
    return set(PLACEHOLDER.findall(remedy))
