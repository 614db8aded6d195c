"""What NetworkPolicies mean for a path, also those that are only assumed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from wirecheck.inspect.trace_view import PolicyView
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.paths.answer import Path
from wirecheck.paths.journey import Journey, Result
from wirecheck.policy.connections import Connections
from wirecheck.policy.manifest import Manifest
from wirecheck.policy.reach import Answer, Decision


@dataclass(frozen=True)
class PathPolicies:
    """The policies of a cluster, and those of a manifest that are assumed."""

    cluster: ClusterSeen
    manifest: Manifest | None = None

    @cached_property
    def _now(self) -> Connections:
        return Connections.of(self.cluster)

    @cached_property
    def _assumed(self) -> Connections | None:
        if self.manifest is None or not self.manifest.policies:
            return None
        return Connections.assuming(self.cluster, self.manifest.policies)

    @property
    def names(self) -> list[str]:
        """The assumed objects: `NetworkPolicy shop/web`."""
        if self.manifest is None:
            return []
        policies = ((e.metadata, "NetworkPolicy") for e in self.manifest.policies)
        services = ((e.metadata, "Service") for e in self.manifest.services)
        return [f"{kind} {e.namespace}/{e.name}" for e, kind in (*policies, *services)]

    def of(self, start: Journey, path: Path) -> Verdict:
        """What they mean for the path's connection, after translation."""
        sent, got = path.there.sent or start.packet, path.there.packet
        ends = sent.source, got.destination, got.protocol, got.port
        assumed = self._assumed.answer(*ends) if self._assumed else None
        return Verdict(path, self._now.answer(*ends), assumed)


@dataclass(frozen=True)
class Verdict:
    """The result of a path if the assumed policies were applied and enforced."""

    path: Path
    now: Answer | None
    assumed: Answer | None

    @property
    def result(self) -> Result:
        """The result of the path, unless the assumed policies change it."""
        if not self._is_changed or self.assumed is None:
            return self.path.result
        if self.assumed.decision is Decision.DENIED:
            return Result.DIES
        # What refuses the packet today may be what enforces the policies, and would change.
        is_lost = self.path.result is Result.DIES
        is_clear = self.assumed.decision is Decision.ALLOWED and not is_lost
        return self.path.result if is_clear else Result.UNDECIDED

    @property
    def reason(self) -> str:
        """Why it dies or cannot be decided; empty if it reaches."""
        if self.result is self.path.result and not self._is_cut:
            return self.path.reason
        assert self.assumed is not None
        if self.assumed.decision is Decision.ALLOWED:
            return (
                f"the assumed policies allow it ({self.assumed.reason}), and today it is refused: "
                f"{self.path.reason}"
            )
        return f"with the assumed policies: {self.assumed.reason}"

    @property
    def _is_cut(self) -> bool:
        is_denied = self.assumed is not None and self.assumed.decision is Decision.DENIED
        return self._is_changed and is_denied and self.path.result is not Result.DIES

    @property
    def _is_changed(self) -> bool:
        before = self.now.decision if self.now else Decision.ALLOWED
        return self.assumed is not None and self.assumed.decision is not before


def policy_view(answer: Answer | None) -> PolicyView | None:
    """The answer as a part of the view."""
    return None if answer is None else PolicyView(decision=answer.decision, reason=answer.reason)
