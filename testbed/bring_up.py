"""Starting the whole cluster, finding it started, and taking it away."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace

import click

from testbed import (
    access,
    cluster,
    host,
    inventory,
    kubeadm,
    logs,
    network,
    nodes,
    parts,
    readiness,
    vm,
    workloads,
)
from testbed.commands import StoppedByUserError, TestbedError, shield
from testbed.file_layout import KUBEADM, FileLayout
from testbed.layout import DNS, VM, Layout, NodeSpec, choose_subnet
from testbed.networks.pod_network import PodNetwork, images_archive, network_named
from testbed.state import Record, State
from testbed.steps import step

_LIMIT = 900.0
"""Seconds that each thing may take to become ready: far more than it needs.

Cilium compiles programs for its endpoints, and gives up and tries again on a busy machine.
"""
_ON_THE_NODE = "/var/log/kubelet.log and /var/log/pods on the node"


@dataclass(frozen=True, slots=True)
class Shape:
    """What kind of cluster: another one is started anew."""

    proxy_mode: str
    dual_stack: bool
    network: PodNetwork
    files: FileLayout = KUBEADM

    def is_that_of(self, record: Record) -> bool:
        return (record.proxy_mode, record.dual_stack, record.network, record.layout) == (
            self.proxy_mode,
            self.dual_stack,
            self.network.name,
            self.files.name,
        )


def up(here: State, shape: Shape, with_vm: bool) -> None:
    """Start the cluster, or find it running and healthy.

    Whatever stops it on the way, nothing half-made stays behind. A virtual machine is added to
    a running cluster, and one that is there stays.
    """
    with _alone(here):
        parts.prepare_host(here)
        nodes.refuse_foreign(here)
        record = _without_dead_vm(here)
        if record and not shape.is_that_of(record):
            record = None
        if record and not ailments(here, record):
            click.echo("The cluster is running and healthy.")
        else:
            record = _start_anew(here, shape)
        if record and with_vm and not record.vm:
            _add_vm_or_leave_none(here, record)
    _say_how_to_use(here)


def down(here: State) -> None:
    """Remove the cluster; what was built for it stays in the cache."""
    with _alone(here):
        if host.docker_answers():
            nodes.refuse_foreign(here)
        with step("remove the cluster"):
            _remove(here)


def status(here: State) -> None:
    """Say what runs, and what it lacks; TestbedError if it is not a healthy cluster."""
    record = here.record()
    running = nodes.running() if host.docker_answers() else {}
    for name, runs in sorted(running.items()):
        click.echo(f"{name}: {'running' if runs else 'stopped'}")
    if not record:
        half = "an incomplete" if running else "no"
        raise TestbedError(f"there is {half} cluster: `python -m testbed up` starts one")
    proxied = network_named(record.network).kube_proxy
    click.echo(f"kube-proxy: {record.proxy_mode if proxied else 'none'}")
    click.echo(f"pod network: {record.network}")
    click.echo(f"layout of files: {record.layout}")
    lacking = ailments(here, record)
    if lacking:
        raise TestbedError("missing: " + "; ".join(lacking))
    _say_how_to_use(here)


@contextmanager
def _alone(here: State) -> Iterator[None]:
    """Two of us at once would remove each other's halves."""
    path = here.root / "lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TestbedError(f"somebody works with the test cluster and holds {path}") from None
        yield


def ailments(here: State, record: Record) -> list[str]:
    """What is wrong with the cluster that should be running."""
    layout = Layout(record.subnet)
    names = [node.name for node in layout.nodes(record.vm)]
    containers = [*(node.name for node in layout.containers), DNS]
    running = nodes.running()
    stopped = [f"container {name} running" for name in containers if not running.get(name)]
    if record.vm and not vm.is_running(here):
        stopped.append("the virtual machine running")
    if stopped:
        return stopped
    try:
        return readiness.nodes_not_ready(names) or readiness.unprogrammed(names)
    except StoppedByUserError:
        raise
    except TestbedError as error:
        return [str(error)]


def _without_dead_vm(here: State) -> Record | None:
    """What is running; a virtual machine that has ended is forgotten, the others go on."""
    record = here.record()
    if not record or not record.vm or vm.is_running(here):
        return record
    record = replace(record, vm=False)
    with step("forget the virtual machine, which has ended"):
        if not ailments(here, record):
            _remove_vm(here)
        inventory.write_inventories(here, vm=False)
        here.write_record(record)
    return record


def _start_anew(here: State, shape: Shape) -> Record:
    parts.make(here, shape.network, shape.files)
    # What a crash left behind may be as little as a network.
    with step("remove what was there before"):
        _remove(here)
    with _leaving_nothing(here, lambda: _remove(here)):
        return _start(here, shape)


@contextmanager
def _leaving_nothing(here: State, remove: Callable[[], None]) -> Iterator[None]:
    """Remove what was made if it cannot be completed, but keep the nodes' logs."""
    try:
        yield
    except StoppedByUserError:
        shield()
        with step("interrupted: remove what was made"):
            remove()
        raise
    except BaseException as error:
        shield()
        kept = logs.collect(here)
        remove()
        if isinstance(error, TestbedError):
            raise TestbedError(f"{error} (the nodes' logs are in {kept})") from None
        raise


def _start(here: State, shape: Shape) -> Record:
    layout = Layout(choose_subnet(network.ranges_in_use()), shape.dual_stack)
    names = [node.name for node in layout.containers]
    with step("start the nodes"):
        _start_nodes(here, layout, shape)
    token = kubeadm.new_token()
    with step("start the control plane"):
        cluster.start_control_plane(here, layout, token, shape.proxy_mode, shape.files)
        _add_kube_proxy(names, shape)
        cluster.add_pod_network(layout, shape.network, shape.files)
    with step("join the workers"):
        in_parallel(layout.workers, lambda node: cluster.join(layout, node, token, shape.files))
        cluster.add_dns()
    # Pods that are placed before a worker is Ready would all be on the other one.
    _wait_for_nodes(names)
    with step("start the workloads"):
        workloads.start(layout)
        cluster.add_network_objects(layout, shape.network)
    _wait_for_pods(names)
    inventory.write_inventories(here, vm=False)
    record = Record(
        shape.proxy_mode,
        layout.subnet,
        vm=False,
        dual_stack=shape.dual_stack,
        network=shape.network.name,
        layout=shape.files.name,
    )
    here.write_record(record)
    return record


def _add_kube_proxy(names: Sequence[str], shape: Shape) -> None:
    if not shape.network.kube_proxy:
        return
    if shape.files.agent:
        cluster.admit_kube_proxies(names)
    else:
        cluster.add_kube_proxy()


def _start_nodes(here: State, layout: Layout, shape: Shape) -> None:
    pod_network = shape.network
    network.create(layout)
    if not pod_network.encapsulates:
        network.hand_on_pod_addresses()
    access.write_ssh_config(here, layout.nodes(vm=True))
    nodes.start_dns(here, layout)
    settings = nodes.write_node_settings(here, layout, pod_network.mounts, shape.proxy_mode)
    archive = images_archive(here, pod_network)
    in_parallel(
        layout.containers, lambda node: nodes.start(here, node, settings, archive, shape.files)
    )


def _add_vm_or_leave_none(here: State, record: Record) -> None:
    parts.make_vm(here)
    layout = Layout(record.subnet)
    with _leaving_nothing(here, lambda: _remove_vm(here)):
        _add_vm(here, layout)
        inventory.write_inventories(here, vm=True)
        here.write_record(replace(record, vm=True))


def _add_vm(here: State, layout: Layout) -> None:
    token = kubeadm.new_token()
    with step("boot the virtual machine"):
        vm.boot(here, layout)
    with step("join the virtual machine"):
        cluster.admit(token)
        cluster.join(layout, layout.vm, token)
        cluster.add_ipvs_kube_proxy()
    names = [node.name for node in layout.nodes(vm=True)]
    _wait_for_nodes(names)
    _wait_for_pods(names)


def _wait_for_nodes(names: Sequence[str]) -> None:
    with step("wait until nodes are Ready"):
        readiness.wait_for(lambda: readiness.nodes_not_ready(names), _LIMIT, _ON_THE_NODE)


def _wait_for_pods(names: Sequence[str]) -> None:
    with step("wait until pods run"):
        readiness.wait_for(readiness.workloads_not_running, _LIMIT, _ON_THE_NODE)
    web = workloads.web_address()
    with step("wait until every node is programmed"):
        readiness.wait_for(
            lambda: readiness.unprogrammed(names) + readiness.without_service(names, web),
            _LIMIT,
            "the log of kube-proxy on that node",
        )
    # Of a Service's backends one on the same node may have answered.
    with step("wait until every node reaches the pods of the others"):
        pods = workloads.web_pods()
        readiness.wait_for(
            lambda: [line for pod in pods for line in readiness.without_service(names, pod)],
            _LIMIT,
            "the routes of that node, and the log of the pod network's daemon",
        )


def in_parallel(specs: Sequence[NodeSpec], do: Callable[[NodeSpec], None]) -> None:
    """Do something for several nodes at once; the first error ends it."""
    with ThreadPoolExecutor(len(specs)) as pool:
        list(pool.map(do, specs))


def _remove(here: State) -> None:
    here.forget_record()
    vm.remove(here)
    if host.docker_answers():
        nodes.remove_all()
        network.remove()
    inventory.remove_inventories(here)
    here.kubeconfig.unlink(missing_ok=True)


def _remove_vm(here: State) -> None:
    vm.remove(here)
    cluster.forget_node(VM)


def _say_how_to_use(here: State) -> None:
    click.echo(f"kubeconfig: {here.kubeconfig}")
    click.echo(f"Check it:   wirecheck run --inventory {here.inventory}")
