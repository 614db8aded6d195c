"""Sysctls at the next boot: what the files of sysctl.d would set, against what is in force.

systemd applies the files in the order of their names; a later line wins, and one with a name
wins against one with a pattern.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.conntrack import Conntrack
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.node_settings import SysctlFile

STRICT = "1"
RP_FILTER = ("net.ipv4.conf.all.rp_filter", "net.ipv4.conf.default.rp_filter")
CONNTRACK_MAX = "net.netfilter.nf_conntrack_max"
SAME = {
    "net.ipv4.conf.all.forwarding": "net.ipv4.ip_forward",
    "net.nf_conntrack_max": CONNTRACK_MAX,
}
"""Two names of one setting."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A line that is applied at boot, and the file that it is in."""

    value: str
    file: str


@dataclass(frozen=True, slots=True)
class RevertedSetting:
    """A sysctl that is right now, and would not be after a boot."""

    sysctl: str
    now: str
    then: Setting


@dataclass(frozen=True)
class BootSettings:
    """What the files of one node say."""

    seen: NodeSeen
    namespaces: PodNamespaces
    conntrack: Conntrack

    @property
    def reverted(self) -> Iterator[RevertedSetting]:
        """Settings that pods need, and that the next boot would take back."""
        applied = settings(self._files, self._wanted)
        for sysctl in self._wanted:
            then, now = applied.get(sysctl), self.seen.sysctl(sysctl)
            if then and then.value != now and self._is_worse(sysctl, then.value, now):
                yield RevertedSetting(sysctl, now, then)

    @property
    def _files(self) -> list[SysctlFile]:
        facts = self.seen.facts
        if problem := next((e for e in facts.problems if e.startswith("Settings at the")), ""):
            raise FactMissingError(f"{self.seen.name}: {problem}")
        if facts.boot_settings is None:
            raise NotApplicable("an older wirecheck looked at the node, which did not read them")
        return facts.boot_settings

    @property
    def _wanted(self) -> list[str]:
        bridged = self.seen.bridge_sysctls if self.namespaces.has_pods_on_a_bridge else []
        limits = [] if self._kube_proxy_sets_the_limit else [CONNTRACK_MAX]
        return [*self.seen.forwarding_sysctls, *bridged, *RP_FILTER, *limits]

    @property
    def _kube_proxy_sets_the_limit(self) -> bool:
        try:
            return self.conntrack.configured_limit is not None
        except (NotApplicable, FactMissingError):
            return False

    def _is_worse(self, sysctl: str, then: str, now: str) -> bool:
        if sysctl == CONNTRACK_MAX:
            return then.isdigit() and now.isdigit() and int(then) < int(now)
        if sysctl in RP_FILTER:
            return then == STRICT and self.seen.sysctl(RP_FILTER[0]) != STRICT
        return now == "1"


def settings(files: list[SysctlFile], names: list[str]) -> Mapping[str, Setting]:
    """What is in force of `names` once all files were applied."""
    exact: dict[str, Setting] = {}
    patterns: dict[str, Setting] = {}
    spared: set[str] = set()
    for file in files:
        for line in file.lines:
            key, equals, value = line.partition("=")
            name = _dotted(key.strip().removeprefix("-"))
            if not equals:
                spared.add(name)  # `-NAME` alone keeps it from the patterns
            elif set(name) & set("*?["):
                patterns[name] = Setting(value.strip(), file.file)
            else:
                exact[SAME.get(name, name)] = Setting(value.strip(), file.file)
    found = {}
    for name in names:
        by_pattern = [s for p, s in patterns.items() if fnmatchcase(name, p) and name not in spared]
        if setting := exact.get(name) or (by_pattern[-1] if by_pattern else None):
            found[name] = setting
    return found


def _dotted(key: str) -> str:
    """`net/ipv4/ip_forward` is another way to write it; the first separator tells."""
    slash, dot = key.find("/"), key.find(".")
    return key.replace("/", ".") if slash >= 0 and (dot < 0 or slash < dot) else key
