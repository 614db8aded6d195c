"""Cilium's audit mode on one node: policies are logged, and nothing that they deny is refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wirecheck.api_index.config_map_settings import is_set
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.node.cilium_addresses import CiliumAddresses
from wirecheck.node.seen import NodeSeen
from wirecheck.text import listed, plural

SETTING = "policy-audit-mode"
NOT_READ = "it was recorded before options of Cilium's endpoints were read"
MOST_NAMES = 3


@dataclass(frozen=True)
class Audited:
    """Pods of the node whose policies are only logged, or of which that is not known."""

    ref: Ref
    found: str = ""
    pods: tuple[Pod, ...] = ()
    is_harmful: bool = True
    """Whether a policy selects any of the pods."""
    inconclusive: str = ""
    of_setting: bool = False
    """Whether the configuration of all agents says so."""


@dataclass(frozen=True)
class CiliumAudit:
    """Which endpoints of one node are only audited."""

    seen: NodeSeen
    addresses: CiliumAddresses

    @property
    def audited(self) -> Iterator[Audited]:
        """The pods whose policies are only logged: one finding if that are all of the node.

        Raises NotApplicable where Cilium's maps or the options were not read.
        """
        document = self.addresses.usage.document
        if document.audited is None and not document.audit_problem:
            raise NotApplicable(NOT_READ)
        modes = self._modes(document.audited or {})
        yield from self._unread(modes, document.audit_problem)
        audited = tuple(pod for pod, is_audited in modes if is_audited)
        if len(audited) > 1 and len(audited) == len(modes):
            yield self._of_all(audited)
            return
        for pod in audited:
            policy = self._policy_of(pod)
            found = f"audit mode: what {policy or 'policies'} would deny is only logged"
            yield Audited(pod.ref, found, (pod,), bool(policy))

    def _modes(self, known: Mapping[str, bool]) -> tuple[tuple[Pod, bool | None], ...]:
        """Each pod with an endpoint, and whether it is only audited."""
        found: list[tuple[Pod, bool | None]] = []
        for pod in self.seen.pods:
            own = (self.addresses.endpoints.get(str(each)) for each in pod.addresses)
            endpoint = next(filter(None, own), None)
            if pod.has_own_netns and endpoint is not None:
                found.append((pod, known.get(str(endpoint.number))))
        return tuple(found)

    def _unread(
        self, modes: tuple[tuple[Pod, bool | None], ...], problem: str
    ) -> Iterator[Audited]:
        reason = problem or "pods whose endpoint's options were not read"
        for pod, is_audited in modes:
            if is_audited is None and self._policy_of(pod):
                yield Audited(pod.ref, inconclusive=reason)

    def _of_all(self, pods: tuple[Pod, ...]) -> Audited:
        policies = dict.fromkeys(filter(None, map(self._policy_of, pods)))
        names = listed(tuple(policies), MOST_NAMES) if policies else "policies"
        setting = is_set(self.seen.cluster.api, SETTING, "true")
        whose = f", as {SETTING} of ConfigMap cilium-config has it" if setting else ""
        return Audited(
            self.seen.ref,
            f"audit mode for all {plural(len(pods), 'pod')} of the node{whose}: what {names} would "
            "deny is only logged",
            pods,
            bool(policies),
            of_setting=setting,
        )

    def _policy_of(self, pod: Pod) -> str:
        """The first policy of any kind that selects the pod; empty without one."""
        policies, own = self.seen.cluster.pod_index.policies, pod.object
        return policies.selecting(own) or next(
            filter(None, (policies.other_of(own, each) for each in ("Ingress", "Egress"))), ""
        )
