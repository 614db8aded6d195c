"""The kube-proxy of one node: version, mode, configuration, health and syncs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Since
from wirecheck.dataplane.proxy import Mode, ProxyFacts, proxy_facts
from wirecheck.parse.errors import ParseError
from wirecheck.parse.plain_yaml import parse_yaml
from wirecheck.parse.sync_metrics import Sync, parse_sync_metrics
from wirecheck.snapshot.node_document import HttpAnswer

BUILD_INFO = re.compile(r'^kubernetes_build_info\{.*git_version="([^"]+)"', re.MULTILINE)
LAST_SYNC = "kube-proxy's last sync"
SILENT = HttpAnswer(error="was not asked")


@dataclass(frozen=True)
class KubeProxy:
    """What is known about a node's kube-proxy, from its own endpoints if they answer.

    Other sources apply if they do not: `configured` is the text of its ConfigMap, `programmed`
    the modes whose Service rules the node has, `image` the image of its pod, `kubelet_version`
    the version of the node's kubelet. `seen_at` is the time of the visit by the node's clock.
    """

    node: str
    http: Mapping[str, HttpAnswer]
    configured: str
    programmed: tuple[Mode, ...]
    image: str
    kubelet_version: str
    seen_at: float

    @property
    def mode(self) -> str:
        """iptables, ipvs or nftables: from /proxyMode, its configuration, or the node's rules."""
        return str(self.facts.mode)

    @property
    def version(self) -> str:
        """kube-proxy's version, which may be older than the API server's."""
        if found := BUILD_INFO.search(self._answer("metrics").body):
            return found[1]
        return self.image.rpartition(":")[2] or self.kubelet_version

    @property
    def facts(self) -> ProxyFacts:
        """The settings that determine the node's rules.

        Raises FactMissingError if they are unrecognised.
        """
        answer = self._answer("proxyMode")
        mode = answer.body.strip() if answer.status == 200 else ""
        try:
            configuration = self._configuration
            if not mode and configuration is None:
                mode = self._programmed_mode
            return proxy_facts(configuration, self.version, mode)
        except (ValueError, RecursionError) as error:
            raise FactMissingError(
                f"The configuration of kube-proxy on {self.node} is unrecognised: {error}"
            ) from error

    @property
    def _programmed_mode(self) -> str:
        """The mode by the node's rules, for a kube-proxy that hangs without a known ConfigMap."""
        if len(self.programmed) > 1:
            raise FactMissingError(
                f"The mode of kube-proxy on {self.node} is unknown: it does not answer, its "
                "configuration was not read, and the node has rules of "
                f"{' and '.join(self.programmed)}."
            )
        return "".join(self.programmed)

    @property
    def actual_mode(self) -> Mode:
        """The mode that it reports. Raises NotApplicable if it does not report one."""
        answer = self._answer("proxyMode")
        if answer.status != 200:
            problem = answer.error or f"status {answer.status}"
            raise NotApplicable(
                f"kube-proxy on {self.node} does not report its mode at "
                f"http://127.0.0.1:10249/proxyMode ({problem})"
            )
        return self.facts.mode

    @property
    def configured_mode(self) -> Mode:
        """The mode in its ConfigMap. Raises NotApplicable without a ConfigMap."""
        if not self.configured:
            raise NotApplicable(f"kube-proxy on {self.node} has no known ConfigMap")
        try:
            return proxy_facts(_mapping(_from_yaml(self.configured)), self.version).mode
        except ValueError as error:
            raise FactMissingError(
                f"ConfigMap kube-system/kube-proxy is unrecognised: {error}"
            ) from error

    @property
    def own_configuration(self) -> Mapping[str, Any] | None:
        """What its ConfigMap sets, without defaults; None if that is not known.

        Raises FactMissingError if it is not plain YAML.
        """
        try:
            return _mapping(_from_yaml(self.configured)) if self.configured else None
        except ParseError as error:
            raise FactMissingError(f"ConfigMap kube-system/kube-proxy: {error}") from error

    @property
    def is_configured(self) -> bool:
        """Whether its configuration is known, from itself or from its ConfigMap."""
        return bool(self._answer("configz").body or self.configured)

    @property
    def _configuration(self) -> Mapping[str, Any] | None:
        if text := self._answer("configz").body:
            return _mapping(json.loads(text))
        return _mapping(_from_yaml(self.configured)) if self.configured else None

    @property
    def health_problem(self) -> str:
        """Why its /healthz does not report it as healthy; empty if it does."""
        answer = self._answer("healthz")
        if answer.status == 200:
            return ""
        if answer.status is None:
            return f"no answer at http://127.0.0.1:10256/healthz: {answer.error}"
        return f"status {answer.status} at /healthz: {' '.join(answer.body.split())[:300]}"

    @cached_property
    def syncs(self) -> tuple[Sync, ...]:
        """Its syncs by family; empty if its metrics do not answer."""
        try:
            return parse_sync_metrics(self._answer("metrics").body)
        except ParseError as error:
            raise FactMissingError(f"{self.node}: {error}") from error

    @property
    def last_sync(self) -> Since | None:
        """Its last sync of the family that waits longest; None if that is not known."""
        with suppress(FactMissingError):
            done = [each.done for each in self.syncs]
            return Since(min(done), LAST_SYNC) if done and min(done) > 0 else None
        return None

    def last_sync_of(self, sync: Sync) -> Since | None:
        """The last sync of a family; None if there was none."""
        return Since(sync.done, LAST_SYNC) if sync.done > 0 else None

    def seconds_waiting(self, sync: Sync) -> float:
        """Return how long the last change has waited for a sync; 0 if none waits."""
        return max(0.0, self.seen_at - sync.queued) if sync.is_waiting else 0.0

    @property
    def sync_evidence(self) -> list[str]:
        """The metrics about failed syncs and the last successful one."""
        words = ("failures_total", "last_timestamp_seconds", "last_queued_timestamp_seconds")
        return [
            line
            for line in self._answer("metrics").body.splitlines()
            if any(word in line for word in words) and not line.startswith("#")
        ]

    def _answer(self, endpoint: str) -> HttpAnswer:
        return self.http.get(endpoint, SILENT)


@lru_cache(maxsize=4)
def _from_yaml(text: str) -> object:
    """Parse a ConfigMap, once for all nodes of a cluster: YAML is slow to parse."""
    return parse_yaml(text)


def _mapping(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None
