"""Proves one pod network: healthy in every profile, only read, its faults, nothing left behind."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

import click

from testbed import bring_up, network, nodes, parts
from testbed.bring_up import Shape
from testbed.cluster import node_names
from testbed.commands import TestbedError, run
from testbed.components import built_in
from testbed.faults.fault import Fault, load_faults, spelled_out
from testbed.faults.matrix import as_text, counted, name_of
from testbed.faults.prove import Prover
from testbed.faults.rest import come_to_rest
from testbed.file_layout import KUBEADM, FileLayout
from testbed.layout import CONTROL_PLANE, WORKERS
from testbed.networks.page import Proven
from testbed.networks.pod_network import DEFAULT, PodNetwork
from testbed.readonly import sandboxes
from testbed.readonly.__main__ import prove as prove_read_only
from testbed.state import state
from wirecheck.catalogue.profiles import PROFILES

_MODE = "iptables"
_NODES = (CONTROL_PLANE, *WORKERS)
_UNIT = re.compile(r"(?<=\d)(?=[KMGT]?i?B$)")
"""Where `674.3MiB` lacks a space."""


def prove(
    pod_network: PodNetwork,
    *,
    dual_stack: bool,
    with_faults: bool,
    rests: bool = True,
    files: FileLayout = KUBEADM,
) -> Proven:
    """What was measured and found wrong; the cluster is taken down whatever that is."""
    if files is not KUBEADM and (dual_stack or not pod_network.k3s):
        raise TestbedError(f"{pod_network.name} cannot have the files of {files.name} like this")
    here = state()
    shape = Shape(_MODE, dual_stack, pod_network, files)
    proven = Proven(pod_network, dual_stack, files=files)
    click.echo(f"=== {proven.title}")
    try:
        bring_up.down(here)
        parts.prepare_host(here)
        parts.make(here, pod_network, files)
        built = (*pod_network.components, *files.components)
        proven.build_seconds = sum(built_in(here, each) for each in built)
        proven.start_seconds = _seconds_of(lambda: bring_up.up(here, shape, with_vm=False))
        _prove_running(proven, Prover(rests=rests), with_faults=with_faults)
    except TestbedError as error:
        proven.wrong.append(str(error))
    finally:
        bring_up.down(here)
    proven.wrong += [
        f"left after the cluster: {each}" for each in (*nodes.remains(), *network.remains())
    ]
    return proven


def _prove_running(proven: Proven, prover: Prover, *, with_faults: bool) -> None:
    come_to_rest()
    proven.wrong += _unhealthy(prover, proven.pod_network)
    proven.memory = _memory()
    sandboxes.wait_until_removed(_NODES)
    if not prove_read_only(_NODES, "inventory.yaml"):
        proven.wrong.append("a run is not read-only: see above")
    if not with_faults:
        return
    rows = []
    for fault in faults_of(proven.pod_network, load_faults(), proven.files):
        rows.append(prover.prove(fault))
        click.echo(as_text(rows[-1]))
    proven.faults = counted(rows)
    proven.wrong += [
        f"the fault {row.fault} was not exact: see above" for row in rows if not row.is_exact
    ]


def faults_of(
    pod_network: PodNetwork, faults: list[Fault], files: FileLayout = KUBEADM
) -> list[Fault]:
    """Those that name the network; of the default one, which has hundreds, one of each group."""
    named = [
        fault
        for fault in faults
        if pod_network.name in fault.networks and fault.proxy_mode == _MODE and not fault.vm
        if files.name in fault.layouts
    ]
    chosen = pod_network.name == DEFAULT and files is KUBEADM
    return [fault for fault in named if fault.smoke] if chosen else named


def _unhealthy(prover: Prover, pod_network: PodNetwork) -> Iterator[str]:
    """What a run of each profile shows beyond what the network always shows, and the reverse."""
    usual = spelled_out(pod_network.reds(), {}, node_names())
    for profile in (None, *PROFILES):
        options = ("--profile", profile) if profile else ()
        seen = prover.look_in_detail(f"network-{profile or 'all'}", options=options)
        wanted = {red for red in usual if profile is None or PROFILES[profile].has(red[0])}
        said = [f"{name_of(red)} failed" for red in sorted(seen.all_red - wanted)]
        said += [f"{name_of(red)} did not fail" for red in sorted(wanted - seen.all_red)]
        click.echo(f"profile {profile or 'none'}: {'healthy' if not said else '; '.join(said)}")
        yield from (f"profile {profile or 'none'}: {each}" for each in said)


def _memory() -> str:
    """What the control plane's container uses, and then each worker's."""
    shown = run(["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}", *_NODES])
    used = dict(line.split(" ")[:2] for line in shown.splitlines())
    return ", ".join(_UNIT.sub(" ", used.get(name, "unknown")) for name in _NODES)


def _seconds_of(do: Callable[[], None]) -> float:
    began = time.monotonic()
    do()
    return time.monotonic() - began
