"""The kube-proxy of one node: its version, mode and configuration, and how it says it does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.dataplane.proxy import Mode, ProxyFacts, proxy_facts
from wirecheck.parse.errors import ParseError
from wirecheck.parse.sync_metrics import Sync, parse_sync_metrics
from wirecheck.snapshot.node_document import HttpAnswer

BUILD_INFO = re.compile(r'^kubernetes_build_info\{.*git_version="([^"]+)"', re.MULTILINE)
SILENT = HttpAnswer(error="was not asked")


@dataclass(frozen=True)
class KubeProxy:
    """What was learnt of a node's kube-proxy, from itself where it answers.

    `configured` is the text of its ConfigMap, `programmed` the modes whose Service rules
    the node has, `image` the image of its pod on this node and
    `kubelet_version` that of the node: what is left to go by where it does not answer.
    `seen_at` is the node's own time of the visit, in seconds since the epoch.
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
        """iptables, ipvs or nftables: by /proxyMode, its configuration, or the node's rules."""
        return str(self.facts.mode)

    @property
    def version(self) -> str:
        """kube-proxy's own version, which may lag behind the API server's."""
        if found := BUILD_INFO.search(self._answer("metrics").body):
            return found[1]
        return self.image.rpartition(":")[2] or self.kubelet_version

    @property
    def facts(self) -> ProxyFacts:
        """What shapes the node's rules; raises FactMissingError where it is not understood."""
        answer = self._answer("proxyMode")
        said = answer.body.strip() if answer.status == 200 else ""
        configuration = self._configuration
        if not said and configuration is None:
            said = self._programmed_mode
        try:
            return proxy_facts(configuration, self.version, said)
        except (ValueError, yaml.YAMLError) as error:
            raise FactMissingError(
                f"kube-proxy on {self.node} is not understood: {error}"
            ) from error

    @property
    def _programmed_mode(self) -> str:
        """A kube-proxy that hangs, and whose configuration is not known, has left its rules."""
        if len(self.programmed) > 1:
            raise FactMissingError(
                f"The mode of kube-proxy on {self.node} is not known: it does not answer, its "
                f"configuration was not read, and there are rules of {', '.join(self.programmed)}."
            )
        return "".join(self.programmed)

    @property
    def actual_mode(self) -> Mode:
        """The mode that it says it is in; raises NotApplicable where it does not say."""
        answer = self._answer("proxyMode")
        if answer.status != 200:
            problem = answer.error or f"status {answer.status}"
            raise NotApplicable(
                f"kube-proxy on {self.node} is taken to be in its configured mode: it does not "
                f"tell at http://127.0.0.1:10249/proxyMode ({problem})"
            )
        return self.facts.mode

    @property
    def configured_mode(self) -> Mode:
        """The mode that its ConfigMap asks for; raises NotApplicable where none is known."""
        if not self.configured:
            raise NotApplicable(f"no ConfigMap is known to configure kube-proxy on {self.node}")
        try:
            return proxy_facts(_mapping(_from_yaml(self.configured)), self.version).mode
        except (ValueError, yaml.YAMLError) as error:
            raise FactMissingError(
                f"ConfigMap kube-system/kube-proxy is not understood: {error}"
            ) from error

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
        """Why it is not healthy by its own /healthz; empty where it is."""
        answer = self._answer("healthz")
        if answer.status == 200:
            return ""
        if answer.status is None:
            return f"no answer at http://127.0.0.1:10256/healthz: {answer.error}"
        return f"status {answer.status} at /healthz: {' '.join(answer.body.split())[:300]}"

    @property
    def syncs(self) -> tuple[Sync, ...]:
        """Its syncs by family; none where its metrics do not answer."""
        try:
            return parse_sync_metrics(self._answer("metrics").body)
        except ParseError as error:
            raise FactMissingError(f"{self.node}: {error}") from error

    def seconds_waiting(self, sync: Sync) -> float:
        """How long the last change has waited for a sync; 0 where none waits."""
        return max(0.0, self.seen_at - sync.queued) if sync.is_waiting else 0.0

    @property
    def sync_evidence(self) -> list[str]:
        """The metrics that tell of failed syncs and of the last good one."""
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
    """What a ConfigMap holds; all nodes of a cluster share theirs, and YAML is slow to read."""
    return yaml.safe_load(text)


def _mapping(value: object) -> Mapping[str, Any] | None:
    return value if isinstance(value, Mapping) else None
