"""Programs of a node's system that may take over devices of its CNI plugin."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.network.plugin import DeviceKind
from wirecheck.node.netns import Interface
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.routing_rules import RoutingRules, rule_text
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.parse.sections import Section, parse_sections
from wirecheck.parse.shell_patterns import matches
from wirecheck.snapshot import node_settings
from wirecheck.text import listed

NETWORK_MANAGER, NETWORKD, UDEV = "NetworkManager", "systemd-networkd", "systemd-udevd"
NO = frozenset({"no", "false", "0", "off"})
MOST_DEVICES = 3
"""How many devices are named: there is one for each pod."""
VERSION = re.compile(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})")


@dataclass(frozen=True)
class ManagedDevices:
    """Devices of one kind that a program manages."""

    kind: str
    devices: tuple[str, ...]
    of: int

    @property
    def found(self) -> str:
        """`7 of 7 are managed, such as veth12`."""
        return f"{len(self.devices)} of {self.of} are managed, such as {self.devices[0]}"


@dataclass(frozen=True)
class MacOverride:
    """The devices whose MAC a .link file overrides."""

    file: str
    setting: str
    devices: tuple[str, ...]

    @property
    def found(self) -> str:
        """`MACAddressPolicy=persistent for eni0d7763, eni1f8864 and 58 more`."""
        return f"{self.setting} for {listed(self.devices, MOST_DEVICES)}"


@dataclass(frozen=True)
class DeviceManagers:
    """The programs of one node and their configuration.

    Raises NotApplicable for documents of older versions of wirecheck.
    """

    seen: NodeSeen
    namespaces: PodNamespaces
    routing_rules: RoutingRules

    @cached_property
    def _record(self) -> node_settings.DeviceManagers:
        return self.seen.required(
            self.seen.facts.device_managers,
            Fact.DEVICE_MANAGERS,
            "an older version of wirecheck visited the node; it did not look for device managers",
        )

    def _require(self, program: str) -> None:
        if program not in self._record.running:
            raise NotApplicable(f"{program} does not run on the node")

    @cached_property
    def devices_of_cni(self) -> tuple[Interface, ...]:
        """The node's ends of pods' pairs, their bridges, and tunnels."""
        pods = [pair.outer for pair in self.namespaces.veths if pair.outer]
        masters = {each.link.master for each in pods}
        return tuple(
            each
            for each in self.seen.host.interfaces
            # NetworkManager and udev leave the kernel's datapath of Open vSwitch alone.
            if each in pods
            or (each.index in masters and not each.is_open_vswitch)
            or each.is_tunnel
        )

    @property
    def managed_by_networkmanager(self) -> Iterator[ManagedDevices]:
        """Devices of the CNI plugin that NetworkManager is not configured to ignore."""
        self._require(NETWORK_MANAGER)
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
                yield ManagedDevices(kind, tuple(managed), len(devices))

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
                is_unmanaged = section.last("managed").lower() in NO
                specs = _specs(section.last("match-device"))
                matched[section.name] = specs if is_unmanaged else []
        return listed, list(matched.values())

    @property
    def mac_overrides(self) -> Iterator[MacOverride]:
        """The files by which udev replaces MACs of the CNI plugin's devices."""
        self._require(UDEV)
        overrides: dict[tuple[str, str], list[str]] = {}
        files = [(each.file, self._sections([each])) for each in self._record.links]
        for device in self.devices_of_cni:
            for file, sections in files:
                if not _matches([each for each in sections if each.name == "Match"], device):
                    continue
                if setting := self._harmful(sections, device):
                    overrides.setdefault((file, setting), []).append(device.name)
                break  # The first file that matches is the only one that is applied.
        for (file, setting), names in overrides.items():
            yield MacOverride(file, setting, tuple(names))

    def _harmful(self, sections: Iterable[Section], device: Interface) -> str:
        """Return the setting that replaces the MAC; empty if none does.

        A fixed MAC is always set. A policy does not replace a MAC that a program has set.
        """
        links = [each for each in sections if each.name == "Link"]
        fixed = next((each.last("MACAddress") for each in reversed(links) if each.settings), "")
        policies = [v for each in links for k, v in each.settings if k == "MACAddressPolicy"]
        if policies and policies[-1] in ("persistent", "random"):
            return f"MACAddressPolicy={policies[-1]}" if self._keeps_kernel_mac(device) else ""
        return f"MACAddress={fixed}" if fixed else ""

    def _keeps_kernel_mac(self, device: Interface) -> bool:
        """Whether the plugin uses the MAC that the kernel assigned to the device."""
        rule = self.seen.cni.kernel_macs
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
            if self.seen.cni.has_agent(pod):
                yield from (each.image for each in pod.object.spec.containers)

    @property
    def rules_networkd_removes(self) -> Sequence[str]:
        """Routing rules of other programs, which systemd-networkd removes when it restarts."""
        self._require(NETWORKD)
        sections = self._sections(self._record.networkd)
        values = [
            value.lower()
            for section in sections
            for key, value in section.settings
            if key == "ManageForeignRoutingPolicyRules"
        ]
        if values and values[-1] in NO:
            return []
        return [rule_text(each) for each in self.routing_rules.third_party]

    def _sections(self, files: Iterable[node_settings.SettingsFile]) -> list[Section]:
        found: list[Section] = []
        for each in files:
            try:
                found += parse_sections(each.lines)
            except ParseError as error:
                raise FactMissingError(f"{each.file} on {self.seen.name}: {error}") from error
        return found


def _specs(value: str) -> Sequence[str]:
    """Split a list of devices of NetworkManager: by commas or semicolons."""
    return [each.strip() for each in re.split(r"[,;]", value) if each.strip()]


def _is_named(specs: Sequence[str], device: Interface) -> bool:
    """Whether a list of devices includes the device, and does not exclude it."""
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
        return device.name == name[1:] if name[:1] == "=" else matches(device.name, name)
    if kind in ("type", "driver"):
        return device.link.kind == value
    return kind == "mac" and device.link.mac.lower() == value.lower()


def _matches(conditions: Iterable[Section], device: Interface) -> bool:
    """Whether the [Match] sections match; properties that virtual devices lack never do."""
    found = {
        "OriginalName": device.name,
        "Kind": device.link.kind,
        "Driver": device.link.kind,
        "MACAddress": device.link.mac.lower(),
        "Type": "bridge" if device.is_bridge else "ether",
    }
    return all(
        _matches_patterns(section.words(key), found.get(key, ""))
        for section in conditions
        for key in dict.fromkeys(name for name, _ in section.settings)
    )


def _matches_patterns(patterns: Sequence[str], value: str) -> bool:
    """Whether a list of patterns of systemd matches; a leading `!` negates the list."""
    if not patterns:
        return True
    is_negated = patterns[0].startswith("!")
    words = [patterns[0].removeprefix("!"), *patterns[1:]]
    is_match = any(matches(value, each.lower() if ":" in each else each) for each in words)
    return is_match != is_negated


def _is_older(image: str, version: tuple[int, int, int]) -> bool:
    """Whether the image's tag is a version before this one; an unknown tag counts as newer."""
    found = VERSION.search(image.rpartition(":")[2])
    return found is not None and tuple(map(int, found.groups())) < version
