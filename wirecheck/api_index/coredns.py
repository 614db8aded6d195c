"""CoreDNS: its Corefile, its permissions and the nodes of its replicas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address

from wirecheck.api_index.cluster_dns import corefile_in
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.parse.corefile import Plugin, cluster_zone, plugins, unknown_zones
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.cluster_role import PolicyRule
from wirecheck.text import plural

NEEDED = {
    "forward": "no name outside the cluster can be resolved",
    "health": "a CoreDNS that hangs is never restarted",
    "ready": "a replica gets queries before it has read the API",
}
"""Plugins that a Corefile should have, and the consequence of leaving each out."""

INSTEAD = {"forward": frozenset({"unbound", "fanout", "recursor"})}
"""Plugins, also of builds with further ones, that do the same."""

REMOVED = {"proxy": "1.5.0", "federation": "1.7.0"}
"""Plugins that CoreDNS no longer has, and since which version: it does not start with them."""

READS = (
    ("", "services"),
    ("", "pods"),
    ("", "namespaces"),
    ("discovery.k8s.io", "endpointslices"),
)
"""(API group, resource) that the plugin `kubernetes` lists and watches since CoreDNS 1.8.1."""

VERBS = ("list", "watch")

OPERATED = "openshift-dns"
"""The namespace of the replicas that OpenShift's DNS operator manages."""


@dataclass(frozen=True)
class CoreDns:
    """CoreDNS as the API shows it."""

    api: ApiObjects
    replicas: tuple[Pod, ...]
    """The pods behind the DNS Service."""

    @cached_property
    def _corefile(self) -> str:
        found = corefile_in(self.api)
        if found is None:
            raise NotApplicable(
                "no Corefile was read: the DNS replicas mount none, or it may not be read"
            )
        return found

    @cached_property
    def _plugins(self) -> tuple[Plugin, ...]:
        return tuple(plugins(self._corefile))

    @property
    def zone(self) -> str:
        """The domain whose names come from the API; empty if the Corefile has none.

        Raises NotApplicable if an imported file, which was not read, or a variable of the process
        may have it.
        """
        zone = cluster_zone(self._corefile)
        if not zone:
            for each in unknown_zones(self._corefile):
                raise NotApplicable(f"the Corefile takes the domain from a variable, {each}")
            self._require_whole_corefile()
        return zone

    def _require_whole_corefile(self) -> None:
        for each in self._plugins:
            if each.name == "import":
                raise NotApplicable(
                    f"the Corefile imports {' '.join(each.arguments)}, which was not read"
                )

    @property
    def missing_plugins(self) -> Iterator[tuple[str, str]]:
        """(plugin, consequence) for each usual plugin that the Corefile leaves out."""
        names = {each.name for each in self._plugins}
        for plugin, consequence in NEEDED.items():
            if plugin not in names and not INSTEAD.get(plugin, frozenset()) & names:
                self._require_whole_corefile()
                yield plugin, consequence
        if "loop" not in names and self._forwards_to_resolv_conf and not self._is_openshifts:
            self._require_whole_corefile()
            yield "loop", "a forwarding loop with the node's resolver goes undetected"

    @property
    def _is_openshifts(self) -> bool:
        """Whether OpenShift's operator writes the Corefile, which nobody else may edit."""
        return {each.namespace for each in self.replicas} == {OPERATED}

    @property
    def upstream(self) -> str:
        """The address of the first server that queries are forwarded to.

        Empty if the Corefile names none; a file such as /etc/resolv.conf may list them then.
        """
        for each in self._plugins:
            for word in each.arguments[1:] if each.name == "forward" else ():
                # Also with a scheme and a port: tls://9.9.9.9, [fd00::1]:5353.
                for text in (word.rpartition("//")[2], word.rpartition("//")[2].rpartition(":")[0]):
                    with suppress(ValueError):
                        return str(ip_address(text.strip("[]")))
        return ""

    @property
    def _forwards_to_resolv_conf(self) -> bool:
        """Whether queries are forwarded to the servers that a file lists."""
        targets = [each.arguments[1:] for each in self._plugins if each.name == "forward"]
        return any(word.startswith("/") for words in targets for word in words)

    @property
    def removed_plugins(self) -> Iterator[tuple[str, str]]:
        """(plugin, version) for each plugin that CoreDNS no longer has since that version."""
        for each in self._plugins:
            if each.name in REMOVED:
                yield each.name, REMOVED[each.name]

    @property
    def missing_permissions(self) -> Iterator[str]:
        """The permissions that CoreDNS needs and its ClusterRole lacks: `list endpointslices`.

        Raises NotApplicable if neither the usual ClusterRole nor a binding to it was read, and
        without a replica, which would need them.
        """
        if not self.replicas:
            raise NotApplicable("the DNS Service selects no running pod")
        roles = self.api.cluster_roles
        if not roles and not self.api.cluster_role_bindings:
            raise NotApplicable("the ClusterRole system:coredns does not exist, or was not read")
        rules = [rule for role in roles for rule in role.rules or ()]
        for group, resource in READS:
            for verb in VERBS:
                if not any(_allows(rule, group, resource, verb) for rule in rules):
                    yield f"{verb} {resource}"

    @property
    def is_bound(self) -> bool:
        """Whether the role is bound to a service account in the replicas' namespace."""
        namespaces = {each.namespace for each in self.replicas}
        return any(
            subject.kind == "ServiceAccount" and subject.namespace in namespaces
            for binding in self.api.cluster_role_bindings
            for subject in binding.subjects or ()
        )

    @property
    def colocated_replicas(self) -> Sequence[Pod]:
        """The replicas, if all are on one node although another node could run some."""
        replicas = [each for each in self.replicas if each.is_running]
        if len(replicas) < 2:
            raise NotApplicable(
                f"{plural(len(replicas), 'DNS replica')} running; spreading takes two"
            )
        open_to_pods = [
            node
            for node in self.api.nodes
            if not node.spec.unschedulable
            and not any(taint.effect in ("NoSchedule", "NoExecute") for taint in node.spec.taints)
        ]
        if len(open_to_pods) < 2:
            raise NotApplicable("fewer than two nodes accept every pod")
        return replicas if len({each.node_name for each in replicas}) == 1 else ()


def _allows(rule: PolicyRule, group: str, resource: str, verb: str) -> bool:
    needed = ((group, rule.api_groups), (resource, rule.resources), (verb, rule.verbs))
    return all(word in allowed or "*" in allowed for word, allowed in needed)
