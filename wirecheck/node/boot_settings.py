"""Sysctls at the next boot: what the files of sysctl.d will set, compared with what is in force.

systemd applies the files in the order of their names; a later line wins, and one with a name
wins against one with a pattern.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.conntrack import Conntrack
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.shell_patterns import matches
from wirecheck.snapshot.node_settings import SysctlFile

STRICT = "1"
RP_FILTER = ("net.ipv4.conf.all.rp_filter", "net.ipv4.conf.default.rp_filter")
CONNTRACK_MAX = "net.netfilter.nf_conntrack_max"
SAME = {
    "net.ipv4.conf.all.forwarding": "net.ipv4.ip_forward",
    "net.nf_conntrack_max": CONNTRACK_MAX,
}
"""Sysctls that are the same setting, by the name that is not used here."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A value that is applied at boot, and the file that sets it."""

    value: str
    file: str


@dataclass(frozen=True, slots=True)
class RevertedSetting:
    """A sysctl whose value is correct now, and will not be after a reboot."""

    sysctl: str
    now: str
    then: Setting


@dataclass(frozen=True)
class BootSettings:
    """What the sysctl.d files of one node set at boot."""

    seen: NodeSeen
    namespaces: PodNamespaces
    conntrack: Conntrack

    @property
    def reverted(self) -> Iterator[RevertedSetting]:
        """Settings that pods need, and that the next reboot reverts."""
        applied = settings(self._files, self._wanted)
        for sysctl in self._wanted:
            then, now = applied.get(sysctl), self.seen.sysctl(sysctl)
            if then and then.value != now and self._is_worse(sysctl, then.value, now):
                yield RevertedSetting(sysctl, now, then)

    @property
    def _files(self) -> list[SysctlFile]:
        return self.seen.required(
            self.seen.facts.boot_settings,
            Fact.BOOT_SETTINGS,
            "an older version of wirecheck visited the node; it did not read sysctl.d",
        )

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
    """Return the settings of `names` that are in force once all files are applied."""
    exact: dict[str, Setting] = {}
    patterns: dict[str, Setting] = {}
    excluded: set[str] = set()
    for file in files:
        for line in file.lines:
            key, equals, value = line.partition("=")
            name = _dotted(key.strip().removeprefix("-"))
            if not equals:
                excluded.add(name)  # `-NAME` alone excludes it from the patterns
            elif set(name) & set("*?["):
                patterns[name] = Setting(value.strip(), file.file)
            else:
                exact[SAME.get(name, name)] = Setting(value.strip(), file.file)
    found = {}
    for name in names:
        by_pattern = [s for p, s in patterns.items() if matches(name, p) and name not in excluded]
        if setting := exact.get(name) or (by_pattern[-1] if by_pattern else None):
            found[name] = setting
    return found


def _dotted(key: str) -> str:
    """Return the name with dots. As in sysctl.d, the first separator says which one is used."""
    first = next((each for each in key if each in "/."), "")
    return key.replace("/", ".") if first == "/" else key
