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
    "dns_service_name": "the name of the first DNS Service",
    "dns_namespace": "the namespace of the DNS Service",
    "dns_selector": "the labels of the DNS replicas",
    "dns_configmap": "the ConfigMap with the Corefile of the DNS replicas",
    "dns_domain": "the cluster's DNS domain",
    "upstream": "the first server that CoreDNS forwards queries to",
    "dns_name": "the name that was queried",
    "dns_type": "the type of the query",
    "server": "the DNS server that was queried",
}
"""Placeholders that every finding fills in if possible. A finding can add its own `names`."""


FINDERS = {
    "kube_proxy_pod": "To find KUBE_PROXY_POD: `kubectl -n kube-system get pods -o wide "
    "--field-selector spec.nodeName={node}`. Without such a pod, kube-proxy is part of a service "
    "of {node}: `systemctl list-units --type=service | grep -E 'kube|k3s|rke2'`. Then restart that "
    "SERVICE instead of the pod, `systemctl restart SERVICE`, and read `journalctl -u SERVICE` "
    "instead of the pod's log.",
    "cni_pod": "To find CNI_POD: `kubectl get pods -A -o wide --field-selector "
    "spec.nodeName={node}`.",
    "netns": "To find NETNS, on {node}: `lsns -t net -o NS,PID,NSFS,COMMAND`; /proc/PID/ns/net is "
    "a path, too.",
}
"""What follows a remedy with such a name, if a finding on a node does not know it."""

SEVERAL_WORDS = "_arguments"
"""How placeholders end whose value is several arguments of a command."""


def filled(remedy: str, names: Mapping[str, str]) -> str:
    """Return the remedy with these names, quoted for a shell.

    Unknown names stay in capitals; where it is known how to find them, a sentence says so.
    """
    text = _filled(remedy, names)
    if not names.get("node"):
        return text
    wanted = dict.fromkeys(PLACEHOLDER.findall(remedy))
    unknown = (FINDERS[each] for each in wanted if each in FINDERS and not names.get(each))
    return " ".join([text, *(_filled(each, names) for each in unknown)])


def _filled(text: str, names: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        known = names.get(match[1], "")
        if known and match[1].endswith(SEVERAL_WORDS):
            return shlex.join(known.split())
        return shlex.quote(known) if known else match[1].upper()

    return PLACEHOLDER.sub(value, text)


def general(remedy: str) -> str:
    """Return the remedy without a finding: every name in capitals."""
    return filled(remedy, {})


def placeholders(remedy: str) -> set[str]:
    """Return the names that the remedy contains."""
    return set(PLACEHOLDER.findall(remedy))
