"""Looking at the referee's node as at any other, and judging what was seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from testbed.commands import TestbedError
from testbed.referee.kube_proxy import NODE
from testbed.referee.place import Place
from testbed.referee.random_scenes import SENTINEL
from wirecheck import __version__
from wirecheck.addresses import address
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.collect.api.client import Api
from wirecheck.collect.document_frame import FrameError, unframed
from wirecheck.collect.node_program import command_line
from wirecheck.collect.plan.dns import DnsPlan
from wirecheck.collect.plan.visit_plan import BlockPlan, Plan
from wirecheck.dataplane.compare.differences import Difference
from wirecheck.dataplane.compare.summary import Common
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.node.dataplane import Dataplane
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.blocks import whole
from wirecheck.snapshot.index import FORMAT, RoundRecord, SnapshotIndex, VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import NodeDocument

_NO_DNS = DnsPlan(queries={}, pods=[], node=[], addresses=[], rate=1.0, tries=1, timeout=1.0)


@dataclass(frozen=True)
class Sight:
    """One look: the API and the node, and what becomes of them."""

    api: ApiObjects
    document: NodeDocument

    @cached_property
    def node(self) -> Node:
        """The node, as every check gets it."""
        now = self.document.finished
        index = SnapshotIndex(FORMAT, __version__, now)
        cluster = Cluster(self.api, index, RoundRecord(self.document.started, now))
        return Node(cluster, cluster.nodes[NODE], VisitRecord(VisitStatus.SEEN), self.document)

    @property
    def dataplane(self) -> Dataplane:
        """The comparison of its Service rules with the API."""
        return self.node.dataplane

    @property
    def is_synchronised(self) -> bool:
        """Whether kube-proxy has followed all changes, by its metrics and by the sentinel."""
        try:
            syncs = self.node.proxy.syncs
            told = {each.owner.service for each in self.dataplane.of_rules.single if each.owner}
        except FactMissingError:
            return False
        is_done = bool(syncs) and not any(each.is_waiting for each in syncs)
        return is_done and SENTINEL not in told

    @cached_property
    def disagreements(self) -> tuple[str, ...]:
        """Everything that differs or is not understood, as lines with both sides."""
        try:
            seen = self.dataplane
        except FactMissingError as error:
            return (str(error),)
        lines = [_single(each) for each in seen.of_rules.single]
        lines += [_common(each) for each in seen.of_rules.common]
        lines += [f"left by {each.mode}: {each.what}" for each in seen.left]
        return (*lines, *seen.problems)

    @cached_property
    def complaints(self) -> tuple[str, ...]:
        """Disagreements, and what checks of the node's firewall say of all that is forwarded."""
        firewall = self.node.firewall
        try:
            refused = [f"{each.what}: {each.rule}" for each in firewall.dropped(_sample())]
            uncalled = [" ".join(each[:3]) for each in firewall.missing_anchors]
        except (FactMissingError, NotApplicable) as none:
            return (*self.disagreements, *([] if isinstance(none, NotApplicable) else [str(none)]))
        return (*self.disagreements, *refused, *uncalled)

    @property
    def compared(self) -> int:
        """How many frontends were compared."""
        return self.dataplane.compared


def _sample() -> Iterator[tuple[str, ForwardedPacket]]:
    """Packets of pods here and on another node, as firewall.forwards_pods has them."""
    for own, other in (("10.244.1.9", "10.244.2.9"), ("fd00:10:244:1::9", "fd00:10:244:2::9")):
        yield "to pods", ForwardedPacket(address(own), address(other))
        yield "from pods", ForwardedPacket(address(other), address(own))


def _single(each: Difference) -> str:
    owner = each.owner
    name = f"{owner.service} {owner.name}".strip() if owner else "no Service"
    head = f"{each.kind}: {each.frontend} of {name} for {', '.join(each.clients)}"
    return "\n    ".join(
        [head, f"expected: {each.expected}", f"   found: {each.found}", *each.evidence]
    )


def _common(each: Common) -> str:
    return f"{each.kind}: {each.extent} {each.wanted} ({each.where}): {each.found}"


def look(place: Place, kubeconfig: Path, limit: float) -> Sight:
    """Look at the node, then at the API, which does not change meanwhile."""
    # However few rules there are, they are read as those of a large node are.
    blocks = BlockPlan(least=0)
    plan = Plan(program=__version__, deadline=limit, window=0.0, dns=_NO_DNS, blocks=blocks)
    ended = place.look(command_line(plan.encoded()), limit + 60)
    try:
        text = unframed(ended.stdout.encode())
    except FrameError as error:
        raise TestbedError(f"the node program: {error}: {ended.stderr[-600:]}") from error
    document = whole(msgspec.json.decode(text, type=NodeDocument))
    return Sight(Api.connect(kubeconfig).read(), document)
