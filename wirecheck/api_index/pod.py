"""A pod as the API shows it, and what checks may expect of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from wirecheck.addresses import IPAddress
from wirecheck.api_index.node_addresses import valid_addresses
from wirecheck.catalogue.findings import Ref, Since
from wirecheck.snapshot.objects import metadata
from wirecheck.snapshot.objects.metadata import Metadata, OwnerReference
from wirecheck.snapshot.objects.pod import DnsConfig, PodObject


def is_running(pod: PodObject) -> bool:
    """Whether the pod runs and is to stay: neither finished nor being deleted."""
    return pod.status.phase == "Running" and not pod.metadata.deletion_timestamp


def is_ready(pod: PodObject) -> bool:
    """Whether the pod's condition Ready is True."""
    return metadata.is_ready(pod.status.conditions)


def cgroup_uid(pod: PodObject) -> str:
    """The uid in the pod's cgroup path: for a static pod the hash of its manifest.

    The API's mirror of a static pod has a uid of its own, which no node knows.
    """
    return pod.metadata.annotations.get("kubernetes.io/config.hash") or pod.metadata.uid


@dataclass(frozen=True)
class Pod:
    """One pod of the API.

    `restricted_by` names what may block the pod's own traffic on purpose, such as a NetworkPolicy
    for egress. `sandbox` names what hides the pod's network from the node, such as a virtual
    machine. Both are empty if nothing is known to do so.
    """

    object: PodObject
    restricted_by: str = ""
    sandbox: str = ""

    @property
    def namespace(self) -> str:
        return self.object.metadata.namespace

    @property
    def name(self) -> str:
        return self.object.metadata.name

    @property
    def node_name(self) -> str:
        return self.object.spec.node_name

    @cached_property
    def ref(self) -> Ref:
        """The pod's name, uid and workload."""
        meta = self.object.metadata
        return Ref("Pod", meta.name, meta.namespace, uid=meta.uid, workload=_workload(meta))

    @property
    def cgroup_uid(self) -> str:
        """The uid in the pod's cgroup path."""
        return cgroup_uid(self.object)

    @cached_property
    def addresses(self) -> frozenset[IPAddress]:
        """Every address that the API shows for the pod."""
        status = self.object.status
        return frozenset(valid_addresses([status.pod_ip, *(each.ip for each in status.pod_ips)]))

    @property
    def on_host_network(self) -> bool:
        return self.object.spec.host_network

    @property
    def is_terminating(self) -> bool:
        return bool(self.object.metadata.deletion_timestamp)

    @property
    def is_running(self) -> bool:
        """Whether the pod runs and is to stay: neither finished nor being deleted."""
        return is_running(self.object)

    @property
    def since_readiness(self) -> Since | None:
        """When the condition Ready last changed; None if the API does not show it."""
        for each in self.object.status.conditions:
            if each.type == "Ready":
                with suppress(ValueError):
                    at = datetime.fromisoformat(each.last_transition_time)
                    return Since(at.timestamp(), "the pod's condition Ready")
        return None

    @property
    def is_ready(self) -> bool:
        return is_ready(self.object)

    @property
    def why_hidden(self) -> str:
        """Why the pod's network cannot be seen from the node; empty if it can."""
        return self.sandbox if self.is_running and not self.on_host_network else ""

    @property
    def has_own_netns(self) -> bool:
        """Whether the node must have a netns for the pod with the pod's addresses."""
        return self.is_running and not self.on_host_network and not self.sandbox

    @property
    def dns_policy(self) -> str:
        """The DNS policy in force: on the host's network, ClusterFirst means Default."""
        policy = self.object.spec.dns_policy
        return "Default" if policy == "ClusterFirst" and self.on_host_network else policy

    @property
    def dns_config(self) -> DnsConfig:
        return self.object.spec.dns_config or DnsConfig()


def _workload(meta: Metadata) -> str:
    """The controller of the pod, by a name that survives an update: `Deployment/web`."""
    for owner in meta.owner_references:
        if owner.controller:
            return _above_replica_set(owner, meta.labels.get("pod-template-hash", ""))
    return f"Pod/{meta.name}"


def _above_replica_set(owner: OwnerReference, template_hash: str) -> str:
    # A Deployment names its ReplicaSets NAME-HASH, with the hash that labels their pods.
    if owner.kind == "ReplicaSet" and template_hash and owner.name.endswith(f"-{template_hash}"):
        return f"Deployment/{owner.name.removesuffix(f'-{template_hash}')}"
    return f"{owner.kind}/{owner.name}"
