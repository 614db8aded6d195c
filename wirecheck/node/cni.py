"""The CNI plugins of one node: configuration, binaries, and addresses that they assigned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.node_kinds import kind_of, why_left_out
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Level, NotApplicable
from wirecheck.network.cni_types import BRIDGE, LOOPBACK
from wirecheck.network.plugin import Attachment
from wirecheck.node.cni_configuration import (
    agent_of,
    in_force,
    is_left_behind,
    is_loopback,
    names_kubeconfig,
    programs_of,
)
from wirecheck.node.cni_reservations import Reservations
from wirecheck.node.conditions import network_problems
from wirecheck.node.daemon_placement import Placement, placement
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.cni_files import CniConfiguration, CniFiles, CniRuntime

CONFIGURATIONS, BINARIES = "/etc/cni/net.d", "/opt/cni/bin"
"""The default folders."""


@dataclass(frozen=True)
class Token:
    """How long the token in a plugin's kubeconfig is still valid."""

    file: str
    minutes_left: float


@dataclass(frozen=True)
class ConfigurationProblem:
    """A CNI configuration that is missing, invalid, or one too many."""

    part: str
    expected: str
    found: str
    level: Level = Level.FAIL
    key: str = ""
    file: str = ""
    """The file that is wrong; empty if none is there."""
    is_written_by_agent: bool = False
    """Whether it is, or should be, the configuration of a plugin whose agent runs."""


@dataclass(frozen=True)
class MissingProgram:
    """A CNI plugin that a configuration in force names, and that is in no plugin folder."""

    configuration: str
    plugin: str
    folders: tuple[str, ...]

    @property
    def elsewhere(self) -> str:
        """The other folders that the runtime searches, as the end of a sentence."""
        others = " or ".join(self.folders[1:])
        return f", and none in {others}" if others else ""


@dataclass(frozen=True)
class Cni:
    """The CNI files of one node, which the container runtime uses to set up pods."""

    seen: NodeSeen

    @cached_property
    def files(self) -> CniFiles:
        """Raises NotApplicable for documents of older versions, which did not read them."""
        return self.seen.required(
            self.seen.facts.cni,
            Fact.CNI_FILES,
            "an older version of wirecheck visited the node; it did not read the CNI files",
        )

    @property
    def runtime(self) -> CniRuntime | None:
        """The runtime whose folders were read; None if the default ones were."""
        found = self.files.runtime
        return None if found is None or found.problem else found

    # Configurations.

    @property
    def folder(self) -> str:
        """The folder of the configurations."""
        return self.runtime.configuration_folder if self.runtime else CONFIGURATIONS

    @property
    def configurations(self) -> list[CniConfiguration]:
        """In the order of their names: the runtime uses the first valid one."""
        found = self.files.configurations
        if found is None:
            raise NotApplicable(f"{self.folder} does not exist: the runtime uses another directory")
        return found

    @cached_property
    def in_force(self) -> tuple[CniConfiguration, ...]:
        """The configuration that the runtime uses, then the one that it delegates to (Multus)."""
        return in_force(self.files)

    @property
    def _has_certain_folders(self) -> bool:
        """Whether the folders that were read are those of the runtime.

        Documents of older programs have the default folders only. They are the runtime's if the
        configuration and the programs there fit together, and the programs include `loopback`,
        which every runtime calls. CRI-O searches several folders.
        """
        if self.runtime is not None:
            return True
        present = self.files.binaries or []
        named = [each for one in self.in_force for each in programs_of(one)]
        is_crio = self.seen.object.status.node_info.container_runtime_version.startswith("cri-o")
        return not is_crio and LOOPBACK in present and any(each in present for each in named)

    @property
    def configuration_problems(self) -> Iterator[ConfigurationProblem]:
        """What is wrong with the configurations in the runtime's folder.

        Raises NotApplicable where the runtime may use another folder.
        """
        listed = self.configurations
        usable = [each for each in listed if not is_loopback(each)]
        if not usable:
            self._require_known_folder()
            found = f"{listed[0].file} only, which sets up lo" if listed else "none"
            wanted = "a CNI configuration"
            yield ConfigurationProblem(self.folder, wanted, found, is_written_by_agent=True)
            return
        if is_loopback(listed[0]):
            yield ConfigurationProblem(
                listed[0].file,
                f"{usable[0].file} first: the runtime uses the first configuration by name",
                "a configuration that sets up lo only",
                file=listed[0].file,
            )
        yield from self._invalid(usable)
        yield from self._surplus(usable)

    def _require_known_folder(self) -> None:
        """Raises NotApplicable if the node has a network for pods without this folder."""
        seen = self.seen
        is_ready = not any(network_problems(seen.object)) and bool(seen.families_of_pods)
        if self.runtime is None and is_ready:
            raise NotApplicable(
                f"{self.folder} has no configuration, and pods have addresses: the runtime may use "
                "another directory, which this snapshot does not name"
            )

    def _invalid(self, usable: list[CniConfiguration]) -> Iterator[ConfigurationProblem]:
        """Invalid files: containerd stops at the first one, CRI-O goes on to the next."""
        goes_on = self.runtime is not None and self.runtime.program == "crio"
        has_valid = any(not each.problem for each in usable)
        for number, each in enumerate(usable):
            if each.problem:
                is_risk = number > 0 or (goes_on and has_valid)
                level = Level.WARN if is_risk else Level.FAIL
                is_only = len(usable) == 1
                yield ConfigurationProblem(
                    each.file, "valid JSON", each.problem, level, "", each.file, is_only
                )

    def _surplus(self, usable: list[CniConfiguration]) -> Iterator[ConfigurationProblem]:
        """Valid configurations that nothing uses, and that the runtime uses if another is gone."""
        used = [each for each in self.in_force if not is_loopback(each)] or usable[:1]
        names = list(dict.fromkeys(each.file for each in used))
        # Multus may hold a copy of the configuration that it calls, and renews it from the file.
        called = {each.network for each in used[1:]}
        surplus = [
            each
            for each in usable
            if each.file not in names and each.network not in called and not each.problem
        ]
        if surplus and self.runtime is None and not self._fits_programs:
            raise NotApplicable(
                f"the programs of {names[0]} are not in {BINARIES}: the runtime may use other "
                "directories, which this snapshot does not name"
            )
        if surplus and self.runtime is None and self._contradicts_plugin:
            raise NotApplicable(
                f"{names[0]} is not a configuration of {self.seen.cni}: the runtime may use "
                "another directory, which this snapshot does not name"
            )
        if left := self._left_behind(used[0], surplus):
            yield left
            surplus = [
                each for each in surplus if agent_of(each, self.seen.cluster.cni_agents) is None
            ]
        for each in surplus:
            yield ConfigurationProblem(
                each.file,
                f"{' and '.join(names)} only",
                f"a second configuration, of network {each.network or 'unknown'}",
                Level.WARN,
                "second",
                each.file,
                agent_of(each, self.seen.cluster.cni_agents) is not None,
            )

    def _left_behind(
        self, first: CniConfiguration, others: Sequence[CniConfiguration]
    ) -> ConfigurationProblem | None:
        """A configuration of a removed plugin, or an example, that comes first by name."""
        agents = self.seen.cluster.cni_agents
        wanted = next((each for each in others if agent_of(each, agents)), None)
        if wanted is None or not is_left_behind(first, agents):
            return None
        return ConfigurationProblem(
            first.file,
            f"{wanted.file} first: the agent of {agent_of(wanted, agents)} runs in the cluster",
            f"it comes first, and new pods get its network {first.network}".rstrip(),
            file=first.file,
        )

    @property
    def _fits_programs(self) -> bool:
        present = self.files.binaries or []
        return any(each in present for one in self.in_force for each in programs_of(one))

    @property
    def _contradicts_plugin(self) -> bool:
        """Whether the configuration sets up a bridge, and the plugin connects pods without one."""
        attachment = self.seen.cni.attachment
        plugins = {plugin for each in self.in_force for plugin in each.plugins}
        return BRIDGE in plugins and attachment not in (Attachment.BRIDGE, Attachment.UNKNOWN)

    # Programs.

    @property
    def missing_programs(self) -> Iterator[MissingProgram]:
        """Plugins that a configuration in force names, and that no plugin folder has."""
        present = self.files.binaries
        folders = tuple(self.runtime.plugin_folders) if self.runtime else (BINARIES,)
        if present is None:
            raise NotApplicable(f"{folders[0]} does not exist: the runtime uses another directory")
        missing: dict[str, MissingProgram] = {}
        for each in self.in_force if self.configurations else ():
            for plugin in programs_of(each):
                if plugin not in present:
                    missing.setdefault(plugin, MissingProgram(each.file, plugin, folders))
        if missing and not self._has_certain_folders:
            raise NotApplicable(
                f"{', '.join(missing)} may be in another plugin directory of the container runtime "
                f"than {folders[0]}, which this snapshot does not name"
            )
        yield from missing.values()

    # Credentials.

    @property
    def tokens(self) -> list[Token]:
        """The tokens in the kubeconfigs of the plugins in force.

        Raises NotApplicable where none has one.
        """
        found = self.files.tokens
        if not found:
            raise NotApplicable("no CNI plugin has a kubeconfig with a token that expires")
        is_named = self.files.data_folders is not None
        used = [
            each
            for each in found
            if any(names_kubeconfig(one, each.file, is_named) for one in self.in_force)
        ]
        if not used:
            raise NotApplicable(
                f"the configuration in force does not name {found[0].file}, "
                "and no other kubeconfig with a token that expires"
            )
        return [Token(each.file, (each.expires - self.seen.facts.finished) / 60) for each in used]

    # Addresses.

    @cached_property
    def reservations(self) -> Reservations:
        """The addresses that host-local reserves. Raises NotApplicable if it reserves none."""
        if self.files.reservations is None:
            raise NotApplicable("host-local does not assign addresses on this node")
        return Reservations(self.seen, self.files, self.in_force)

    # Agents.

    @property
    def agents(self) -> tuple[str, list[Pod]]:
        """The name of the CNI plugin, and the pods of its DaemonSet on the node.

        Some nodes of a cluster can have another plugin, such as Cilium beside the AWS VPC CNI.
        Raises NotApplicable if no known plugin has a DaemonSet, or if it leaves the node out.
        """
        plugin, known = self.seen.cni, self.seen.cluster.cni_agents
        if plugin not in known:
            raise NotApplicable("no DaemonSet of a known CNI plugin is in the cluster")
        if not kind_of(self.seen.object).has_machine:
            raise NotApplicable(why_left_out(self.seen.object))
        for each in (plugin, *known):
            pods = [pod for pod in self.seen.pods if each.has_agent(pod)]
            if pods:
                return each.name, pods
        if self._agent_placement.left_out:
            raise NotApplicable(self._agent_placement.left_out)
        return plugin.name, []

    @property
    def agents_beside(self) -> list[Pod]:
        """Agents of other plugins on the node, such as Calico's for policies on EKS."""
        _, own = self.agents
        known = self.seen.cluster.cni_agents
        return [
            pod
            for pod in self.seen.pods
            if pod not in own and any(each.has_agent(pod) for each in known)
        ]

    @property
    def why_agent_is_unknown(self) -> str:
        """Why it is unknown whether an agent must run on the node; empty if one must."""
        return self._agent_placement.unknown

    @cached_property
    def _agent_placement(self) -> Placement:
        names = self.seen.cni.recognised_by.daemonsets
        return placement(self.seen, lambda _, name: name in names)
