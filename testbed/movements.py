"""What happens in a healthy cluster while it is checked: updates, scaling, drains, joins."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from testbed import cluster, kubeadm, nodes, readiness
from testbed.cluster import kubectl
from testbed.layout import WORKERS, Layout
from testbed.networks.pod_network import images_archive, network_named
from testbed.state import state

LIMIT = "--timeout=280s"
NODE = WORKERS[-1]
SIZES = (6, 3, 8, 2)
FEW, MANY, USUAL = 5, 60, 4


@dataclass(frozen=True, slots=True)
class Movement:
    """One thing that goes on: what it is called, how it begins and how it is over."""

    name: str
    begin: Callable[[threading.Event], None]
    """Runs beside the look, until it is done or the event is set."""
    end: Callable[[], None]


@contextmanager
def going_on(movement: Movement) -> Iterator[None]:
    """The movement goes on; afterwards the cluster is as it was, and at rest."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def move() -> None:
        try:
            movement.begin(stop)
        except BaseException as error:
            failures.append(error)

    mover = threading.Thread(target=move, daemon=True)
    mover.start()
    time.sleep(1)  # so that the first change is on its way when the look begins
    try:
        yield
    finally:
        stop.set()
        mover.join()
        movement.end()
    if failures:
        raise failures[0]


def _scale(size: int) -> None:
    kubectl("-n", "shop", "scale", "deployment/web", f"--replicas={size}")


def _web_at_rest() -> None:
    _scale(USUAL)
    _rolled_out("shop", "deployment/web")


def _rolled_out(namespace: str, workload: str) -> None:
    kubectl("-n", namespace, "rollout", "status", workload, LIMIT, timeout=300)


def _roll_and_scale(stop: threading.Event) -> None:
    turn = 0
    while not stop.is_set():
        _scale(SIZES[turn % len(SIZES)])
        if turn % 2:
            kubectl("-n", "shop", "rollout", "restart", "deployment/web")
        turn += 1
        stop.wait(4)


def _scale_up(_stop: threading.Event) -> None:
    _scale(FEW)
    _rolled_out("shop", "deployment/web")
    _scale(MANY)


def _drain(_stop: threading.Event) -> None:
    options = ("--ignore-daemonsets", "--delete-emptydir-data", "--force", LIMIT)
    kubectl("drain", NODE, *options, timeout=300)


def _undrain() -> None:
    kubectl("uncordon", NODE)
    _everything_at_rest()


def _restart(namespace: str, workload: str) -> Movement:
    return Movement(
        f"{workload} restarted",
        lambda _stop: _roll(namespace, workload),
        lambda: _rolled_out(namespace, workload),
    )


def _roll(namespace: str, workload: str) -> None:
    kubectl("-n", namespace, "rollout", "restart", workload)
    _rolled_out(namespace, workload)


def _join_anew(stop: threading.Event) -> None:
    """The node goes, and another machine of its name and address joins."""
    _drain(stop)
    cluster.forget_node(NODE)
    here = state()
    record = here.record()
    assert record is not None, "there is a cluster, since its node was drained"
    layout = Layout(record.subnet, record.dual_stack)
    node = next(each for each in layout.workers if each.name == NODE)
    nodes.remove(NODE)
    network = network_named(record.network)
    settings = nodes.write_node_settings(here, layout, network.mounts)
    nodes.start(here, node, settings, images_archive(here, network))
    token = kubeadm.new_token()
    cluster.admit(token)
    cluster.join(layout, node, token)


def _everything_at_rest() -> None:
    readiness.wait_until_at_rest()
    # What was moved to other nodes spreads out again when it is made anew.
    for namespace, workload in (("kube-system", "deployment/coredns"), ("shop", "deployment/web")):
        _roll(namespace, workload)


ROLLED = Movement("rolled and scaled", _roll_and_scale, _web_at_rest)
MOVEMENTS = (
    ROLLED,
    Movement(f"scaled from {FEW} to {MANY} pods", _scale_up, _web_at_rest),
    Movement("a node drained", _drain, _undrain),
    _restart("kube-system", "deployment/coredns"),
    _restart("kube-system", "daemonset/kube-proxy"),
    Movement("a node joining", _join_anew, _everything_at_rest),
)
"""Each is started anew for its runs."""


def movements(number: int) -> list[Movement]:
    """As many as asked for: each once, and a rolling update for the rest."""
    return [*MOVEMENTS[:number], *[ROLLED] * (number - len(MOVEMENTS))]
