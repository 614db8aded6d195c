"""Programs of a node's system that may take hold of the devices of its CNI plugin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.network.plugin import DeviceKind
from wirecheck.node.netns import Interface
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.routing_rules import RoutingRules, rule_text
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.parse.sections import Section, parse_sections
from wirecheck.snapshot import node_settings

NETWORK_MANAGER, NETWORKD, UDEV = "NetworkManager", "systemd-networkd", "systemd-udevd"
NO = frozenset({"no", "false", "0", "off"})
VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True)
class Taken:
    """Devices of one kind that a program takes for its own."""

    kind: str
    devices: tuple[str, ...]
    of: int

    @property
    def found(self) -> str:
        """`7 of 7 are not left out, such as veth12`."""
        return f"{len(self.devices)} of {self.of} are not left out, such as {self.devices[0]}"


@dataclass(frozen=True)
class MacOverride:
    """A device whose MAC a .link file changes."""

    device: str
    file: str
    setting: str


@dataclass(frozen=True)
class DeviceManagers:
    """What runs on one node, and what its files say. Raises NotApplicable for old documents."""

    seen: NodeSeen
    namespaces: PodNamespaces
    routing_rules: RoutingRules

    @cached_property
    def _record(self) -> node_settings.DeviceManagers:
        facts = self.seen.facts
        if facts.device_managers is not None:
            return facts.device_managers
        if problem := next((p for p in facts.problems if p.startswith("Device managers")), ""):
            raise FactMissingError(f"{self.seen.name}: {problem}")
        raise NotApplicable("an older wirecheck looked at the node, which did not look for them")

    def _demand(self, program: str) -> None:
        if program not in self._record.running:
            raise NotApplicable(f"{program} does not run on the node")

    @cached_property
    def devices_of_cni(self) -> tuple[Interface, ...]:
        """Pods' ends on the node, the bridges that they are on, and tunnels."""
        pods = [pair.outer for pair in self.namespaces.veths if pair.outer]
        masters = {each.link.master for each in pods}
        return tuple(
            each
            for each in self.seen.host.interfaces
            if each in pods or each.index in masters or each.is_tunnel
        )

    @property
    def managed_by_networkmanager(self) -> Iterator[Taken]:
        """Devices of the CNI plugin that NetworkManager is not told to leave alone."""
        self._demand(NETWORK_MANAGER)
        lists, by_section = self._unmanaged
        kinds: dict[str, list[Interface]] = {}
        for each in self.devices_of_cni:
            kinds.setdefault(each.link.kind, []).append(each)
        for kind, devices in sorted(kinds.items()):
            managed = [
                each.name
                for each in devices
                if not any(_is_named(words, each) for words in (lists, *by_section))
            ]
            if managed:
                yield Taken(kind, tuple(managed), len(devices))

    @cached_property
    def _unmanaged(self) -> tuple[Sequence[str], list[Sequence[str]]]:
        """What `unmanaged-devices` lists, and what each `[device]` with `managed=0` matches."""
        listed: list[str] = []
        matched: dict[str, Sequence[str]] = {}
        for section in self._sections(self._record.network_manager):
            if section.name == "keyfile":
                for key, value in section.settings:
                    if key.startswith("unmanaged-devices"):
                        listed = [*(listed if key.endswith("+") else ()), *_specs(value)]
            elif section.name.startswith("device"):
                is_left_alone = section.last("managed").lower() in NO
                specs = _specs(section.last("match-device"))
                matched[section.name] = specs if is_left_alone else []
        return listed, list(matched.values())

    @property
    def mac_overrides(self) -> Iterator[MacOverride]:
        """Devices of the CNI plugin to which udev gives a MAC that the plugin did not choose."""
        self._demand(UDEV)
        files = [(each.file, self._sections([each])) for each in self._record.links]
        for device in self.devices_of_cni:
            for file, sections in files:
                if not _matches([each for each in sections if each.name == "Match"], device):
                    continue
                if setting := self._harmful(sections, device):
                    yield MacOverride(device.name, file, setting)
                break  # The first file that matches is the only one that is applied.

    def _harmful(self, sections: Iterable[Section], device: Interface) -> str:
        """A fixed MAC is always set; a policy gives way to MACs that a program has set."""
        links = [each for each in sections if each.name == "Link"]
        fixed = next((each.last("MACAddress") for each in reversed(links) if each.settings), "")
        policies = [v for each in links for k, v in each.settings if k == "MACAddressPolicy"]
        if policies and policies[-1] in ("persistent", "random"):
            return f"MACAddressPolicy={policies[-1]}" if self._takes_kernels_mac(device) else ""
        return f"MACAddress={fixed}" if fixed else ""

    def _takes_kernels_mac(self, device: Interface) -> bool:
        """Whether the plugin goes by the MAC that the kernel gave to the device."""
        rule = self.seen.cluster.cni.kernel_macs
        if rule is None:
            return False
        kind = DeviceKind.PAIR if device.is_paired else device.link.kind
        if kind != rule.devices:
            return False
        return rule.fixed_in is None or any(
            _is_older(image, rule.fixed_in) for image in self._images_of_agent
        )

    @property
    def _images_of_agent(self) -> Iterator[str]:
        for pod in self.seen.pods:
            if pod.ref.workload in self.seen.cluster.cni.workloads:
                yield from (each.image for each in pod.object.spec.containers)

    @property
    def rules_networkd_removes(self) -> Iterator[str]:
        """Routing rules of other programs, which a restart of systemd-networkd removes."""
        self._demand(NETWORKD)
        sections = self._sections(self._record.networkd)
        told_to = [
            value.lower()
            for section in sections
            for key, value in section.settings
            if key == "ManageForeignRoutingPolicyRules"
        ]
        if not told_to or told_to[-1] not in NO:
            yield from map(rule_text, self.routing_rules.of_others)

    def _sections(self, files: Iterable[node_settings.SettingsFile]) -> list[Section]:
        found: list[Section] = []
        for each in files:
            try:
                found += parse_sections(each.lines)
            except ParseError as error:
                raise FactMissingError(f"{each.file} on {self.seen.name}: {error}") from error
        return found


def _specs(value: str) -> Sequence[str]:
    """NetworkManager's lists of devices, which commas or semicolons divide."""
    return [each.strip() for each in re.split(r"[,;]", value) if each.strip()]


def _is_named(specs: Sequence[str], device: Interface) -> bool:
    """Whether a list of devices holds the device, and does not take it out again."""
    words = [each.removeprefix("except:") for each in specs if each.startswith("except:")]
    if any(_is_spec_of(each, device) for each in words):
        return False
    return any(_is_spec_of(each, device) for each in specs if not each.startswith("except:"))


def _is_spec_of(spec: str, device: Interface) -> bool:
    kind, colon, value = spec.partition(":")
    if spec == "*":
        return True
    if not colon or kind == "interface-name":
        name = value if colon else spec
        return device.name == name[1:] if name[:1] == "=" else fnmatchcase(device.name, name)
    if kind in ("type", "driver"):
        return device.link.kind == value
    return kind == "mac" and device.link.mac.lower() == value.lower()


def _matches(conditions: Iterable[Section], device: Interface) -> bool:
    """Whether a [Match] section fits; what virtual devices have nothing of does not."""
    found = {
        "OriginalName": device.name,
        "Kind": device.link.kind,
        "Driver": device.link.kind,
        "MACAddress": device.link.mac.lower(),
        "Type": "bridge" if device.is_bridge else "ether",
    }
    return all(
        _fits(section.words(key), found.get(key, ""))
        for section in conditions
        for key in dict.fromkeys(name for name, _ in section.settings)
    )


def _fits(patterns: Sequence[str], value: str) -> bool:
    """systemd's lists of patterns; one that begins with `!` says what does not fit."""
    if not patterns:
        return True
    is_negated = patterns[0].startswith("!")
    words = [patterns[0].removeprefix("!"), *patterns[1:]]
    holds = any(fnmatchcase(value, each.lower() if ":" in each else each) for each in words)
    return holds != is_negated


def _is_older(image: str, version: tuple[int, int, int]) -> bool:
    """Whether the image's tag is a version before this one; an unknown tag counts as newer."""
    found = VERSION.search(image.rpartition(":")[2])
    return found is not None and tuple(map(int, found.groups())) < version
