"""The scenarios that come with Cilium's load balancer: objects, and the maps that they ask for.

Each is a file of Cilium's module with a script, objects and dumps of maps. The script is followed
as far as it changes objects; wherever it compares its maps with a dump, wirecheck's table of these
maps is compared with what wirecheck expects of the objects. Nothing of them is kept here.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import yaml

from testbed.commands import TestbedError, run
from testbed.referee.cilium_dump import of_dump
from testbed.state import State
from wirecheck.api_index.cilium_services import cilium_ports
from wirecheck.api_index.endpoint_slices import slices_by_service
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.summary import summarised
from wirecheck.dataplane.ebpf.maps import CiliumMaps, Flags
from wirecheck.dataplane.ebpf.node_view import ZONE_LABEL, CiliumNode
from wirecheck.dataplane.ebpf.reader import read_cilium
from wirecheck.dataplane.expected.cilium import expected_for_cilium
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.service import ServiceObject

MODULE = "github.com/cilium/cilium"
FOLDER = "pkg/loadbalancer/tests/testdata"
NODE = "testnode"
"""The name of the node that the scenarios are about."""
_FILE = re.compile(r"^-- (\S+) --$", re.MULTILINE)
_OTHER = re.compile("MAGLEV: ")
"""Lines about how connections are spread, which is not compared."""
_REPLACES = "--kube-proxy-replacement="
_DUMP = re.compile(r"^(?:SVC|BE|REV|AFF|SRCRANGE): ", re.MULTILINE)

NOT_PLAYED = {
    "file": "its objects are not in the form of the API",
    "proxy-delegation": "its LoadBalancer has no cluster IP, which the API server always assigns",
    "pruning": "its Service has two cluster IPs of one family, which the API server refuses",
    "quarantined": "it changes the health of backends, which the API does not show",
}
"""Scenarios whose comparisons are left out, with the reason."""

Key = tuple[str, str, str]


@dataclass(frozen=True)
class Stage:
    """One comparison of a scenario."""

    name: str
    compared: int
    differences: tuple[str, ...]


@dataclass
class Scenario:
    """A script as far as it was followed."""

    name: str
    flags: str
    files: dict[str, str]
    objects: dict[Key, Any] = field(default_factory=dict)
    addresses: set[str] = field(default_factory=set)
    zone: str = ""

    def play(self, script: str) -> Iterator[Stage]:
        """Follow the script; yields each comparison of maps."""
        for line in script.splitlines():
            words = _words(line)
            if not words:
                continue
            # `*` repeats until both are equal; without it, maps from before a restart are compared.
            if words[0] == "cmp" and line.startswith("*"):
                yield from self._compared(words[1:])
            elif (command := _COMMANDS.get(words[0])) is not None:
                command(self, words[1:])

    def _compared(self, names: list[str]) -> Iterator[Stage]:
        for name in names:
            text = self.files.get(name, "")
            if "expected" in name and _DUMP.search(text):
                lines = (each for each in text.splitlines() if each and not _OTHER.match(each))
                yield self._stage(name, of_dump(lines))

    def _stage(self, name: str, maps: CiliumMaps) -> Stage:
        problems: list[str] = []
        services = msgspec.convert(self._of("Service"), list[ServiceObject], strict=False)
        slices = msgspec.convert(self._of("EndpointSlice"), list[EndpointSliceObject], strict=False)
        ports = cilium_ports(services, slices_by_service(slices), problems)
        node = self._node(maps)
        wanted = expected_for_cilium(ports, node)
        summary = summarised(wanted, compare(wanted, read_cilium(maps, node, wanted.entries)))
        lines = [
            f"{each.kind}: {each.frontend} for {', '.join(each.clients)}\n"
            f"    expected: {each.expected}\n       found: {each.found}"
            for each in summary.single
        ]
        lines += [f"{each.kind}: {each.extent}: {each.found}" for each in summary.common]
        return Stage(f"{self.name} {name}", summary.compared, (*problems, *lines))

    def _of(self, kind: str) -> list[Any]:
        return [each for (own, _, _), each in self.objects.items() if own == kind]

    def _node(self, maps: CiliumMaps) -> CiliumNode:
        opened: dict[int, set[str]] = {4: set(), 6: set()}
        for place, entry in maps.frontends.items():
            if entry.flags & Flags.NODE_PORT and place.address in self.addresses:
                opened[place.family].add(place.address)
        first = {family: min(found) for family, found in opened.items() if found}
        return CiliumNode(
            name=NODE,
            addresses=first,
            local_addresses=frozenset(self.addresses),
            replaces_kube_proxy=not self.flags.rpartition(_REPLACES)[2].startswith("false"),
            node_port_addresses={family: frozenset(found) for family, found in opened.items()},
            zone=self.zone,
            follows_topology="--enable-service-topology" in self.flags,
        )

    def loaded(self, names: list[str]) -> Iterator[tuple[Key, Any]]:
        """The objects in files of the scenario, by kind, namespace and name."""
        for name in names:
            for each in yaml.safe_load_all(self.files.get(name, "")):
                if isinstance(each, dict) and "kind" in each:
                    meta = each.get("metadata") or {}
                    key = each["kind"], meta.get("namespace", ""), meta.get("name", "")
                    yield key, _without_nulls(each)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _put(scenario: Scenario, names: list[str]) -> None:
    scenario.objects.update(scenario.loaded(names))


def _delete(scenario: Scenario, names: list[str]) -> None:
    for key, _ in scenario.loaded(names):
        scenario.objects.pop(key, None)


def _insert(scenario: Scenario, words: list[str]) -> None:
    if words[0] != "node-addresses":
        return
    for name in words[1:]:
        found = yaml.safe_load(scenario.files.get(name, "")) or {}
        if found.get("nodeport") or found.get("nodePort"):
            scenario.addresses.add(str(found["addr"]))


def _copy(scenario: Scenario, words: list[str]) -> None:
    scenario.files[words[1]] = scenario.files.get(words[0], "")


def _replace(scenario: Scenario, words: list[str]) -> None:
    old, new, name = words
    scenario.files[name] = scenario.files.get(name, "").replace(old, new)


def _edit(scenario: Scenario, words: list[str]) -> None:
    pattern, new, name = words
    text = scenario.files.get(name, "")
    scenario.files[name] = re.sub(pattern, new, text, flags=re.MULTILINE)


def _restart(scenario: Scenario, words: list[str]) -> None:
    scenario.flags = " ".join([scenario.flags, *words])
    scenario.addresses.clear()


def _label(scenario: Scenario, words: list[str]) -> None:
    for word in words:
        key, _, value = word.partition("=")
        if key == ZONE_LABEL:
            scenario.zone = value


_COMMANDS: Mapping[str, Callable[[Scenario, list[str]], None]] = {
    "k8s/add": _put,
    "k8s/update": _put,
    "k8s/delete": _delete,
    "db/insert": _insert,
    "cp": _copy,
    "mv": _copy,
    "replace": _replace,
    "sed": _edit,
    "hive/recreate": _restart,
    "test/set-node-labels": _label,
}


def _words(line: str) -> list[str]:
    text = line.strip()
    if not text or text.startswith("#"):
        return []
    try:
        words = shlex.split(text)
    except ValueError:
        return []
    while words and (words[0] in ("*", "!", "?") or words[0].startswith("[")):
        words = words[1:]
    return words


def scenarios(folder: Path) -> Iterator[tuple[Scenario, str]]:
    """Every scenario of a folder that can be played, with its script."""
    found = sorted(folder.glob("*.txtar"))
    if not found:
        raise TestbedError(f"{folder} has no scenario of Cilium's load balancer")
    for file in found:
        script, *rest = _FILE.split(file.read_text())
        files = dict(zip(rest[::2], (text.lstrip("\n") for text in rest[1::2]), strict=True))
        flags = script.partition("\n")[0].removeprefix("#!")
        if file.stem not in NOT_PLAYED:
            yield Scenario(file.stem, flags, files), script


def module_folder(version: str, here: State) -> Path:
    """The scenarios in Go's cache of modules, whose checksums Go has verified."""
    asked = ["go", "mod", "download", "-json", f"{MODULE}@v{version}"]
    return Path(json.loads(run(asked, cwd=here.root, timeout=600.0))["Dir"]) / FOLDER


def play_all(folder: Path) -> Iterator[Stage]:
    """Every comparison of all scenarios of a folder."""
    for scenario, script in scenarios(folder):
        yield from scenario.play(script)
