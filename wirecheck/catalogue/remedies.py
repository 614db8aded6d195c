"""Remedies: the commands to run next, with the real names of a finding.

A remedy contains placeholders such as `{pod}`. Each finding fills in the names that it knows. An
unknown name, and every name on the page of a check, is shown as a word in capitals: `POD`.
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
"""Placeholders that every finding fills in if possible. A finding can add its own `names`."""


def filled(remedy: str, names: Mapping[str, str]) -> str:
    """Return the remedy with these names, quoted for a shell; unknown names stay in capitals."""

    def value(match: re.Match[str]) -> str:
        known = names.get(match[1], "")
        return shlex.quote(known) if known else match[1].upper()

    return PLACEHOLDER.sub(value, remedy)


def general(remedy: str) -> str:
    """Return the remedy without a finding: every name in capitals."""
    return filled(remedy, {})


def placeholders(remedy: str) -> set[str]:
    """Return the names that the remedy contains."""
    return set(PLACEHOLDER.findall(remedy))
