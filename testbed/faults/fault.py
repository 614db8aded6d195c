"""A fault as data: how it is injected and removed, and which checks must fail."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from typing import Literal

import msgspec
import yaml
from msgspec import Struct

Outcome = Literal["fail", "warn", "error"]
Red = tuple[str, str, str]
"""(check, node, outcome); the node is empty for a check about the cluster."""


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One thing to do. Exactly one of `run`, `kubectl` and `until` is given.

    `{pod}`, `{pid}`, `{address}`, `{veth}` and the like stand for the target's own (see
    `target.py`). Commands are split into words before the words are filled in, so that no
    value becomes shell text.
    """

    node: str = "{node}"
    run: str = ""
    """A command on `node`."""
    kubectl: str = ""
    until: str = ""
    """A kubectl command that is repeated until it prints what `says` holds."""
    says: str = ""
    script: str = ""
    """A Python program, run on `node`."""
    passes: list[str] = []
    """The program's arguments; names of the target's words stand for the words."""


class Target(Struct, frozen=True, forbid_unknown_fields=True):
    """What the fault happens to: a node, and where `app` is given a pod of that app on it."""

    node: str
    namespace: str = ""
    app: str = ""
    service: str = ""
    """A Service of the namespace, whose cluster IP is `{service}`."""


class Fault(Struct, frozen=True, forbid_unknown_fields=True):
    """One fault of a cluster."""

    name: str
    group: str
    story: str
    target: Target
    inject: list[Step]
    remove: list[Step]
    failing: dict[str, dict[str, Outcome]]
    """Check, then node, then outcome: exactly these. `cluster`, `every node` and `every other node`
    than the target's are understood."""
    by_chance: dict[str, dict[str, Outcome | list[Outcome]]] = {}
    """The same for what also fails, with any of these outcomes, if connections happen to take the
    broken path often enough (of a Service's backends one is chosen at random), or if the kubelet
    happens to restart something during the run."""
    inconclusive: dict[str, dict[str, str]] = {}
    """Check, then node, then why some of its objects were inconclusive: these as well."""
    smoke: bool = False
    """Part of every CI run: one of each group."""
    vm: bool = False
    """Happens on the virtual machine, and needs it."""
    proxy_mode: Literal["iptables", "nftables"] = "iptables"
    """Which mode kube-proxy has to be in: a fault in rules is one of their kind."""
    inventory: str = ""
    """Another inventory than the usual one, by its name in the cluster's folder."""
    networks: tuple[str, ...] = ("flannel",)
    """The pod networks where it can happen and gives this set."""
    layouts: tuple[str, ...] = ("kubeadm",)
    """The layouts of a node's files where it can happen: its steps name files and pods."""
    needs: Literal["", "policy", "ebpf"] = ""
    """What wirecheck does not evaluate yet: whether nodes enforce NetworkPolicies as written, or
    whether the contents of eBPF maps are the API's. The fault is injected all the same, and what
    the run shows is printed as not yet named."""

    def reds(self) -> frozenset[Red]:
        """The expected set of (check, node, outcome)."""
        return frozenset(flat(self.failing))

    def possible_reds(self) -> frozenset[Red]:
        """What can fail besides."""
        return frozenset(flat(self.by_chance))


def flat(failing: Mapping[str, Mapping[str, Outcome | list[Outcome]]]) -> Iterator[Red]:
    """The (check, node, outcome) of such a table; what it says of all nodes is not spelled out."""
    for check, places in failing.items():
        for place, outcomes in places.items():
            for outcome in [outcomes] if isinstance(outcomes, str) else outcomes:
                yield check, "" if place == "cluster" else place, outcome


def spelled_out(
    wanted: Iterable[Red], values: Mapping[str, str], nodes: Iterable[str]
) -> frozenset[Red]:
    """Such a set with `every node` and `every other node` spelled out."""
    reds: set[Red] = set()
    every = tuple(nodes)
    for check, place, outcome in wanted:
        places = [fill_in(place, values)]
        if place in ("every node", "every other node"):
            spared = values["node"] if place == "every other node" else ""
            places = [each for each in every if each != spared]
        reds |= {(check, each, outcome) for each in places}
    return frozenset(reds)


def fill_in(word: str, values: Mapping[str, str]) -> str:
    """`word` with each `{name}` that is known replaced; all other braces stay."""
    for name, value in values.items():
        word = word.replace(f"{{{name}}}", value)
    return word


FILES = (
    "faults.yaml",
    "dns.yaml",
    "ports_and_devices.yaml",
    "virtual_machine.yaml",
    "networks.yaml",
    "cilium.yaml",
    "kube_router_and_kind.yaml",
    "k3s.yaml",
)


def load_faults() -> list[Fault]:
    """All faults, in the order of the files and of the entries in them."""
    texts = [files("testbed.faults").joinpath(name).read_text() for name in FILES]
    return msgspec.convert([each for text in texts for each in yaml.safe_load(text)], list[Fault])
