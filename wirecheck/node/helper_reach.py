"""Large messages to the helper pods of the run, and nodes without a helper pod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.reach import NodeReach, Reached
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.index import HelperPodsRecord
from wirecheck.snapshot.objects.pod import PodObject

ENDED = "The helper pod terminated before it could be used."


@dataclass(frozen=True)
class HelperReach:
    """The large messages of one visit. Raises NotApplicable where no helper pods were created."""

    seen: NodeSeen
    reach: NodeReach

    @property
    def missing(self) -> Mapping[str, str]:
        """Other nodes without a helper pod, with the reason."""
        return {name: why for name, why in self._without.items() if name != self.seen.name}

    @property
    def between_nodes(self) -> Iterator[Reached]:
        """Messages to other nodes, from the node and from its own helper pod.

        Raises FactMissingError at the end unless messages were sent from both.
        """
        found = self._found("helper")
        yield from found
        self._require_own()
        others = self._there.keys() - {self.seen.name}
        if others and not any(each.source for each in found):
            raise self._nothing_sent
        for why in self.missing.values() if not others else ():
            raise FactMissingError(f"There was no helper pod to connect to. {why}")
        if not others:
            raise NotApplicable("there is no other node with a helper pod")

    @property
    def within_node(self) -> Iterator[Reached]:
        """Messages to the node's own helper pod, from the node and from another of its pods.

        Raises FactMissingError at the end without a helper pod.
        """
        found = self._found("own helper")
        yield from found
        self._require_own()
        if not found:
            raise self._nothing_sent

    @cached_property
    def _record(self) -> HelperPodsRecord:
        record = self.seen.cluster.index.helper_pods
        if record is None:
            raise NotApplicable("no helper pods were created; --helper-pods creates them")
        return record

    @property
    def _there(self) -> Mapping[str, PodObject]:
        return self.seen.cluster.helpers_of_the_run

    @cached_property
    def _without(self) -> Mapping[str, str]:
        nodes = self._record.nodes.items()
        return {name: why or ENDED for name, why in nodes if name not in self._there}

    def _found(self, purpose: str) -> list[Reached]:
        contacts = (self.seen.facts.contacts or ()) if self._record else ()
        return [self.reach.reached(each) for each in contacts if each.purpose == purpose]

    def _require_own(self) -> None:
        if self.seen.name not in self._record.nodes:
            raise NotApplicable("no helper pod was requested for the node")
        if why := self._without.get(self.seen.name):
            raise FactMissingError(why)

    @property
    def _nothing_sent(self) -> FactMissingError:
        name = self.seen.name
        return FactMissingError(
            f"No message was sent to or from the helper pod on {name}: the visit did not find its "
            "processes, or ended early. Run wirecheck again, and raise `limits.node` in the "
            "inventory."
        )
