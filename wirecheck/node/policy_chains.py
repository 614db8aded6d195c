"""The chains that a policy engine such as kube-router has for each pod of one node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.dataplane.rules.dispatch import pod_chains
from wirecheck.dataplane.rules.ruleset import Stage
from wirecheck.network.plugins.cilium import PLUGIN as CILIUM
from wirecheck.node.firewall import Firewall
from wirecheck.node.seen import NodeSeen


@dataclass(frozen=True)
class PolicyGap:
    """A pod without a chain, or with an empty one."""

    ref: Ref
    expected: str
    found: str
    is_selected: bool
    """Whether a NetworkPolicy selects the pod."""


@dataclass(frozen=True)
class PolicyChains:
    """The policy engine's chains for single pods in the node's packet filter."""

    seen: NodeSeen
    firewall: Firewall

    @property
    def gaps(self) -> Iterator[PolicyGap]:
        """The pods whose policies are not enforced because their chain is missing or empty.

        Raises NotApplicable if the node has no chains for single pods.
        """
        dispatches = [
            (family, each.stage, chains)
            for family, stages in self.firewall.forward_chains.items()
            for each in stages
            if (chains := pod_chains(each.stage, self._addresses))
        ]
        if not dispatches:
            raise NotApplicable("no policy engine has a chain for each pod on the node")
        for family, stage, chains in dispatches:
            for pod, address in self._pods(family):
                if gap := self._gap(pod, address, stage, chains.get(address)):
                    yield gap

    def _gap(self, pod: Pod, address: str, stage: Stage, name: str | None) -> PolicyGap | None:
        policy = self.seen.cluster.pod_index.policies.selecting(pod.object)
        lost = f"{policy} is not enforced" if policy else "no policy would be enforced"
        if name is None:
            # Some versions have no chain for a pod that no policy selects.
            found = f"no rule calls a chain for {address}: {lost}"
            return PolicyGap(pod.ref, f"a chain for {address}", found, True) if policy else None
        chain = stage.chains.find(name)
        if chain is not None and chain.steps:
            return None
        return PolicyGap(
            pod.ref, f"rules in chain {name}", f"the chain is empty: {lost}", bool(policy)
        )

    def _pods(self, family: int) -> Iterator[tuple[Pod, str]]:
        """The running pods with their address of a family."""
        for pod in self.seen.pods:
            if pod.is_running and not pod.on_host_network:
                yield from ((pod, str(a)) for a in pod.addresses if a.version == family)

    @cached_property
    def _addresses(self) -> frozenset[str]:
        return frozenset(str(each) for pod in self.seen.pods for each in pod.addresses)

    @cached_property
    def agent_names(self) -> Mapping[str, str]:
        """The pod of the policy engine, by the names of the agent's in remedies.

        Cilium enforces policies without chains.
        """
        agents = self.seen.cluster.cni_agents
        engines = [each for each in agents if each.filter_chains or each.name == CILIUM.name]
        for pod in self.seen.pods:
            if any(each.has_agent(pod) for each in engines):
                return {"cni_pod": pod.name, "cni_namespace": pod.namespace}
        return {}
