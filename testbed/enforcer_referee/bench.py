"""The API and the node, brought from scene to scene."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from testbed.commands import TestbedError
from testbed.enforcer_referee.comparing import Comparison, Kind
from testbed.enforcer_referee.node import EnforcingNode
from testbed.enforcer_referee.scenes import (
    LOCAL,
    NAMESPACES,
    SENTINEL,
    PolicyScene,
    nodes,
)
from testbed.referee.api_writer import ApiWriter
from testbed.referee.judging import Sight
from testbed.referee.scene import steps
from wirecheck.collect.api.client import Api
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.node_document import NodeDocument

PATIENCE, LOOKS, PAUSE = 60.0, 3, 0.5
"""Seconds for one scene, how often in a row a disagreement must be seen, and seconds between."""


@dataclass
class PolicyBench:
    """One API and one node."""

    kubeconfig: Path
    node: EnforcingNode
    writer: ApiWriter
    scene: PolicyScene

    @classmethod
    def at(cls, kubeconfig: Path, node: EnforcingNode, writer: ApiWriter) -> PolicyBench:
        """A bench whose API has nodes and namespaces, and nothing else."""
        return cls(
            kubeconfig, node, writer, PolicyScene(tuple(map(_namespace, NAMESPACES)), (), ())
        )

    def bring(self, scene: PolicyScene) -> None:
        """Bring the API from what it has to another scene."""
        for step in steps(self.scene, scene):
            getattr(self.writer, step.action)(step.object)
        self.scene = scene

    def settled(self) -> Comparison:
        """The first look without a disagreement, or the last of several with the same ones.

        Raises TestbedError if the enforcer does not synchronise.
        """
        limit, before, same = time.monotonic() + PATIENCE, None, 0
        while time.monotonic() < limit:
            time.sleep(PAUSE)
            if not self.node.has_synchronised():
                continue
            sight = self.look()
            if f"{SENTINEL}-{self.scene.number} " not in _rules(sight.document):
                continue
            seen = Comparison(self.scene, sight)
            wrong = [said for _, kind, said in seen.outcomes() if kind is Kind.WRONG]
            same = same + 1 if wrong == before else 1
            if not wrong or same >= LOOKS:
                return seen
            before = wrong
        raise TestbedError(
            f"kube-router does not synchronise within {PATIENCE:.0f} s; it said: {self.node.log()}"
        )

    def look(self) -> Sight:
        """The node as its visit reports it, and the API, which does not change meanwhile."""
        seen = self.node.world.visit()
        (document,) = seen.documents.values()
        return Sight(_placed(Api.connect(self.kubeconfig).read()), document)


def write_fixed(writer: ApiWriter) -> None:
    """Write the objects that all scenes have."""
    for each in (*nodes(), *map(_namespace, (*NAMESPACES, SENTINEL))):
        writer.create(each)


def _namespace(name: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {}}}


def _rules(document: NodeDocument) -> str:
    return document.commands["iptables-nft-save"].output


def _placed(api: ApiObjects) -> ApiObjects:
    """The API with the uids by which the node's cgroups name the pods at each place.

    The API server chooses the uid of each new pod, and the processes are there before.
    """
    uids = {each.address: each.uid for each in LOCAL}
    pods = [
        msgspec.structs.replace(
            pod, metadata=msgspec.structs.replace(pod.metadata, uid=uids[pod.status.pod_ips[0].ip])
        )
        if pod.status.pod_ips and pod.status.pod_ips[0].ip in uids
        else pod
        for pod in api.pods
    ]
    return msgspec.structs.replace(api, pods=pods)
