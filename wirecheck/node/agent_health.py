"""Whether the agents of CNI plugins answer on one node, although their pods are Ready.

An agent that hangs stays Ready until the kubelet's probes have failed for a while, and for ever if
it has none. The node forwards meanwhile with what the agent wrote before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.network.plugin import CniPlugin
from wirecheck.node.node_ports import Health, NodePorts
from wirecheck.node.seen import NodeSeen

OK, TIMEOUTS = 200, frozenset({"timed out", "timeout"})


@dataclass(frozen=True)
class AgentState:
    """An agent whose pod is Ready, and what it answers."""

    pod: Pod
    expected: str
    problem: str
    """Empty if it answers as it should."""
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class AgentHealth:
    """The agents of one node."""

    seen: NodeSeen
    ports: NodePorts

    @property
    def states(self) -> Iterator[AgentState]:
        """Each agent that was asked. Raises NotApplicable if none was."""
        found = [
            state
            for plugin in self.seen.cluster.cni_agents
            for pod in self.seen.pods
            if plugin.has_agent(pod) and pod.is_ready and not pod.is_terminating
            for state in [self._at_health_port(plugin, pod) or self._at_load_balancers(plugin, pod)]
            if state
        ]
        if not found:
            raise NotApplicable("no agent of a CNI plugin answers health checks on this node")
        yield from found

    def _at_health_port(self, plugin: CniPlugin, pod: Pod) -> AgentState | None:
        """What the agent answers at its own health port; None if nothing listens there."""
        answers = self.seen.collected(self.seen.facts.agents, Fact.AGENTS, {})
        answer = answers.get(plugin.health) if plugin.health else None
        if answer is None:
            return None
        expected = f"HTTP {OK} at 127.0.0.1:{plugin.health}, as the agent's pod is Ready"
        if answer.status is not None:
            wrong = f"HTTP {answer.status}" * (answer.status != OK)
            return AgentState(pod, expected, wrong, tuple(answer.body.split("\n")[:5]))
        if answer.error not in TIMEOUTS:
            return None  # Another program may listen at the port.
        return AgentState(pod, expected, "it accepts connections and does not answer")

    def _at_load_balancers(self, plugin: CniPlugin, pod: Pod) -> AgentState | None:
        """What it answers to the health checks of load balancers, if it forwards Services."""
        own = self._own_health_checks if plugin.name == self.seen.proxy_replacement else ()
        if not own:
            return None
        where = [each.reached.ref.part for each in own]
        expected = "answers to health checks of load balancers, as its pod is Ready"
        is_silent = all(each.reached.contact.error in TIMEOUTS for each in own)
        problem = f"timeout {', '.join(where)}" if is_silent else ""
        return AgentState(pod, expected, problem)

    @cached_property
    def _own_health_checks(self) -> tuple[Health, ...]:
        """The node's connections to its own health check ports."""
        try:
            own = set(map(str, self.seen.addresses))
            found = tuple(self.ports.health)
        except (FactMissingError, NotApplicable):
            return ()  # reachability.health_check_node_ports says so.
        return tuple(each for each in found if each.reached.contact.address in own)
