"""How CoreDNS is set up: its Corefile, what it may read of the API, where its replicas are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.parse.corefile import Plugin, cluster_zone, plugins
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.cluster_role import PolicyRule

NEEDED = {
    "forward": "no name outside the cluster is known",
    "health": "a CoreDNS that hangs is not restarted",
    "ready": "queries are sent to a replica that has not read the API yet",
}
"""Plugins that every usual set-up has, and what is missing without them."""

REMOVED = {"proxy": "1.5.0", "federation": "1.7.0"}
"""Plugins that CoreDNS no longer starts with, and since when."""

READS = (
    ("", "services"),
    ("", "pods"),
    ("", "namespaces"),
    ("discovery.k8s.io", "endpointslices"),
)
"""(API group, resource) that the plugin `kubernetes` lists and watches, since CoreDNS 1.8.1."""

VERBS = ("list", "watch")


@dataclass(frozen=True)
class CoreDns:
    """CoreDNS as the API shows it."""

    api: ApiObjects
    replicas: tuple[Pod, ...]
    """The pods that answer for the DNS Service."""

    @cached_property
    def _corefile(self) -> str:
        for each in self.api.config_maps:
            if "Corefile" in each.data:
                return each.data["Corefile"]
        raise NotApplicable("no ConfigMap kube-system/coredns with a Corefile was read")

    @cached_property
    def _plugins(self) -> tuple[Plugin, ...]:
        return tuple(plugins(self._corefile))

    @property
    def zone(self) -> str:
        """The domain whose names come from the API; empty where there is none.

        Raises NotApplicable where parts of the Corefile are elsewhere and may hold it.
        """
        zone = cluster_zone(self._corefile)
        if not zone:
            self._demand_all()
        return zone

    def _demand_all(self) -> None:
        for each in self._plugins:
            if each.name == "import":
                raise NotApplicable(
                    f"the Corefile imports {' '.join(each.arguments)}, which is not read"
                )

    @property
    def missing_plugins(self) -> Iterator[tuple[str, str]]:
        """(plugin, consequence) for each usual plugin that the Corefile does not name."""
        names = {each.name for each in self._plugins}
        for plugin, consequence in NEEDED.items():
            if plugin not in names:
                self._demand_all()
                yield plugin, consequence
        if "loop" not in names and self._follows_the_nodes_resolver:
            self._demand_all()
            yield "loop", "a query that the node's resolver sends back goes round for ever"

    @property
    def _follows_the_nodes_resolver(self) -> bool:
        """Whether queries are forwarded to servers that a file names."""
        targets = [each.arguments[1:] for each in self._plugins if each.name == "forward"]
        return any(word.startswith("/") for words in targets for word in words)

    @property
    def removed_plugins(self) -> Iterator[tuple[str, str]]:
        """(plugin, version) of those that a newer CoreDNS does not start with."""
        for each in self._plugins:
            if each.name in REMOVED:
                yield each.name, REMOVED[each.name]

    @property
    def missing_permissions(self) -> Iterator[str]:
        """`list endpointslices` … for all that CoreDNS needs and its ClusterRole lacks.

        Raises NotApplicable where there is neither the usual ClusterRole nor a binding to it.
        """
        roles = self.api.cluster_roles
        if not roles and not self.api.cluster_role_bindings:
            raise NotApplicable("there is no ClusterRole system:coredns, or it was not read")
        rules = [rule for role in roles for rule in role.rules or ()]
        for group, resource in READS:
            for verb in VERBS:
                if not any(_allows(rule, group, resource, verb) for rule in rules):
                    yield f"{verb} {resource}"

    @property
    def is_bound(self) -> bool:
        """Whether a binding gives the role to a service account beside the replicas."""
        namespaces = {each.namespace for each in self.replicas}
        return any(
            subject.kind == "ServiceAccount" and subject.namespace in namespaces
            for binding in self.api.cluster_role_bindings
            for subject in binding.subjects or ()
        )

    @property
    def colocated_replicas(self) -> Sequence[Pod]:
        """The replicas, where all are on one node and another one could take some."""
        replicas = [each for each in self.replicas if each.is_running]
        if len(replicas) < 2:
            raise NotApplicable(f"{len(replicas)} DNS replica runs, and none can be beside another")
        open_to_pods = [
            node
            for node in self.api.nodes
            if not node.spec.unschedulable
            and not any(taint.effect in ("NoSchedule", "NoExecute") for taint in node.spec.taints)
        ]
        if len(open_to_pods) < 2:
            raise NotApplicable("there are no two nodes that take any pod")
        return replicas if len({each.node_name for each in replicas}) == 1 else ()


def _allows(rule: PolicyRule, group: str, resource: str, verb: str) -> bool:
    asked = ((group, rule.api_groups), (resource, rule.resources), (verb, rule.verbs))
    return all(word in allowed or "*" in allowed for word, allowed in asked)
