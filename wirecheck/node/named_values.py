"""A node's versions and settings as named values: they show what an upgrade changed."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.network.registry import NODE_FILES, POD_INTERFACES
from wirecheck.parse.rule_counts import RuleCounts
from wirecheck.snapshot.index import VisitRecord
from wirecheck.snapshot.node_document import NodeDocument
from wirecheck.snapshot.objects.node import NodeObject

SYSCTLS = "/proc/sys/"
COUNTERS = frozenset({"/proc/sys/net/netfilter/nf_conntrack_count"})
"""Files that differ from one second to the next."""

COUNT = "number of "
"""The prefix of values that differ between nodes."""


def facts_of(
    node: NodeObject,
    visit: VisitRecord | None,
    document: NodeDocument | None,
    counts: RuleCounts | None = None,
) -> dict[str, str]:
    """Return the values by name, without those that were not seen."""
    info = node.status.node_info
    facts = {
        "kubelet": info.kubelet_version,
        "kernel": info.kernel_version,
        "OS image": info.os_image,
        "container runtime": info.container_runtime_version,
        "kube-proxy mode": visit.proxy_mode if visit else "",
    }
    if document:
        facts |= (
            dict(_mtus(document))
            | dict(_files(document))
            | dict(_numbers(document, counts or RuleCounts()))
        )
    return {name: value for name, value in facts.items() if value}


def _mtus(document: NodeDocument) -> Iterator[tuple[str, str]]:
    for namespace in document.namespaces[:1]:
        passing = set()
        for link in namespace.links:
            if link.name.startswith(POD_INTERFACES):
                passing.add(link.mtu)
            else:
                yield f"MTU of {link.name}", str(link.mtu)
        if passing:
            yield "MTU of pods' interfaces", ", ".join(map(str, sorted(passing)))


def _files(document: NodeDocument) -> Iterator[tuple[str, str]]:
    for path, text in (document.files or {}).items():
        value = " ".join(text.split()) or "empty"
        if path.startswith(SYSCTLS) and path not in COUNTERS:
            yield path.removeprefix(SYSCTLS).replace("/", "."), value
        elif path in NODE_FILES:
            yield path, value


def _numbers(document: NodeDocument, counts: RuleCounts) -> Iterator[tuple[str, str]]:
    """Yield the number of rules by tool and table."""
    for name, command in document.commands.items():
        if command.status == 0 and "tables" in name and name.endswith("-save"):
            for table, number in counts.by_table(command.output).items():
                yield f"{COUNT}{name.removesuffix('-save')} rules in {table}", f"{number:,}"
        elif command.status == 0 and name.startswith("nft-kube-proxy"):
            family = "ip6" if name.endswith("6") else "ip"
            number = command.output.count('{"rule":') + command.output.count('{"rule" :')
            if number:
                yield f"{COUNT}nftables rules in {family} kube-proxy", f"{number:,}"
