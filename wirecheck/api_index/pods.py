"""The cluster's pods by node and by address, and the helper pods apart from them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork
from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.helper_pods import is_helper
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.policies import Policies
from wirecheck.api_index.sandboxes import handlers_of, sandbox_of
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import HelperPodsRecord


@dataclass(frozen=True)
class PodIndex:
    """All pods of the API.

    Helper pods are wirecheck's own. Only the checks that they were created for ask about them.
    """

    api: ApiObjects
    run: HelperPodsRecord | None = None
    """The run's record of its helper pods."""

    @cached_property
    def _pods(self) -> tuple[Pod, ...]:
        handlers = handlers_of(self.api.runtime_classes)
        return tuple(
            Pod(each, self.policies.egress_of(each), sandbox_of(each, handlers))
            for each in self.api.pods
        )

    @cached_property
    def policies(self) -> Policies:
        """The policies, by the pods that they select."""
        return Policies(self.api)

    @cached_property
    def own(self) -> tuple[Pod, ...]:
        """The cluster's own pods: all except the helper pods of the run."""
        return tuple(each for each in self._pods if not is_helper(each.object, self.run))

    @cached_property
    def helpers(self) -> tuple[Pod, ...]:
        """The helper pods of the run."""
        return tuple(each for each in self._pods if is_helper(each.object, self.run))

    @cached_property
    def by_node(self) -> Mapping[str, tuple[Pod, ...]]:
        """The cluster's own pods, by the name of their node."""
        return _by_node(self.own)

    @cached_property
    def helpers_by_node(self) -> Mapping[str, tuple[Pod, ...]]:
        """Helper pods, by the name of their node."""
        return _by_node(self.helpers)

    @cached_property
    def by_address(self) -> Mapping[IPAddress, tuple[Pod, ...]]:
        """The cluster's running pods that are not on the host network, by address."""
        return _by_address(pod for pod in self.own if pod.is_running and not pod.on_host_network)

    def within(self, range_: IPNetwork) -> Iterator[tuple[IPAddress, Pod]]:
        """Yield the pods of `by_address` whose addresses are in a range."""
        known, numbers = self._in_order[range_.version]
        start = bisect_left(numbers, int(range_.network_address))
        end = bisect_right(numbers, int(range_.broadcast_address))
        for each in known[start:end]:
            yield each, self.by_address[each][0]

    @cached_property
    def _in_order(self) -> Mapping[int, tuple[Sequence[IPAddress], Sequence[int]]]:
        """The keys of `by_address` by family, and as numbers, sorted."""
        known = {
            family: sorted((a for a in self.by_address if a.version == family), key=int)
            for family in (4, 6)
        }
        return {family: (found, list(map(int, found))) for family, found in known.items()}

    @cached_property
    def helpers_by_address(self) -> Mapping[IPAddress, tuple[Pod, ...]]:
        """Helper pods, by address."""
        return _by_address(self.helpers)

    @cached_property
    def host_daemons(self) -> Mapping[tuple[str, str], Pod]:
        """One pod of each DaemonSet on the host network, by the DaemonSet's namespace and name.

        kube-proxy and agents of CNI plugins are such DaemonSets: they set up the node's own
        network. One that has their name and a network of its own cannot.
        """
        return {
            (pod.namespace, owner.name): pod
            for pod in self.own
            if pod.on_host_network
            for owner in pod.object.metadata.owner_references
            if owner.kind == "DaemonSet"
        }

    @cached_property
    def daemonsets(self) -> frozenset[str]:
        """The names of the DaemonSets that own a pod on the host network."""
        return frozenset(name for _, name in self.host_daemons)


def _by_node(pods: Iterable[Pod]) -> Mapping[str, tuple[Pod, ...]]:
    return grouped((pod.node_name, pod) for pod in pods)


def _by_address(pods: Iterable[Pod]) -> Mapping[IPAddress, tuple[Pod, ...]]:
    return grouped((each, pod) for pod in pods for each in pod.addresses)
