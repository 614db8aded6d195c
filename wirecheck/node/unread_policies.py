"""Lost queries of pods that a policy may block, in a recording that has no policies of that kind.

A policy drops what it does not allow, and nothing else about the pod is wrong. So it explains a
time-out only if other traffic of the pod passes, or if the pod is attached to the node, the plugin
knows its device, and the node itself gets answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.dns_lookup import Lookup
from wirecheck.node.netns import Netns
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.seen import NodeSeen

TIMED_OUT = frozenset({"timeout", "timed out"})
UNANSWERED = frozenset({"FAILED", "INCOMPLETE"})
"""States of a neighbour that did not answer: packets do not even reach the node."""


@dataclass(frozen=True)
class UnreadPolicies:
    """Whether policies that were not read can explain what the pods of one node lost."""

    seen: NodeSeen
    namespaces: PodNamespaces

    def why_lost(self, netns: Netns, lookup: Lookup) -> str:
        """Return the policies that may have stopped the query; empty if none can have."""
        unread = self.seen.cluster.unread_policies
        tries = lookup.probe.tries
        if not unread or not tries or tries[-1].answer or tries[-1].error not in TIMED_OUT:
            return ""
        others = [
            each
            for each in self.seen.facts.contacts or ()
            if each.inode == netns.inode and each.tries
        ]
        passes = any(each.made for each in others) or self._is_attached(netns, lookup)
        return unread if passes else ""

    def _is_attached(self, netns: Netns, lookup: Lookup) -> bool:
        """Whether the pod is attached, and the node itself gets answers from the server."""
        if any(each.state in UNANSWERED for each in netns.record.neighbours):
            return False
        if netns.inode in self._detached or netns.inode in self._without_chains:
            return False
        return lookup.probe.server in self._answering

    @cached_property
    def _without_chains(self) -> frozenset[int]:
        """Pods whose devices no iptables rule names, although the rules name those of others.

        The plugin has not programmed a policy for such a pod.
        """
        texts = [each.output for name, each in self.seen.facts.commands.items() if "tables" in name]
        names = {veth.netns.inode: veth.outer.name for veth in self.namespaces.veths if veth.outer}
        named = {
            inode
            for inode, name in names.items()
            if any(f"{way} {name} " in text for way in ("-i", "-o") for text in texts)
        }
        return frozenset(names.keys() - named) if named else frozenset()

    @cached_property
    def _detached(self) -> frozenset[int]:
        if self.seen.bypasses_routing:
            return frozenset()
        veths = self.namespaces.veths
        return frozenset(each.netns.inode for each in veths if not each.is_attached)

    @cached_property
    def _answering(self) -> frozenset[str]:
        return frozenset(
            each.server
            for each in self.seen.probes
            if each.inode == self.seen.host.inode and each.tries and each.tries[-1].answer
        )
