"""`python -m testbed.upgrade`: upgrade kube-proxy and CoreDNS for real, behind an upgrade gate."""

from __future__ import annotations

import datetime
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import yaml

from testbed import readiness
from testbed.cluster import kubectl
from testbed.commands import TestbedError
from testbed.layout import Layout
from testbed.state import State, state, write_atomically
from testbed.steps import step
from testbed.upgrade import earlier
from testbed.upgrade.gate import Verdict, pass_through, read_steps

WORKLOADS = {"kube-proxy": "daemonset/kube-proxy", "coredns": "deployment/coredns"}
WAIT = "20s"
"""In the place of the pipelines' ten minutes: a fault that stays would be waited for."""

_LIMIT = 240.0


@click.command()
@click.option("--wait", default=WAIT, show_default=True, help="What --wait of the gate becomes.")
def main(wait: str) -> None:
    """Upgrade twice: cleanly, and with a fault that the upgrade brings; then all is as it was.

    The commands of the gate are those of ci/upgrade-gate.yaml. Ends with 0 if it let the clean
    upgrade pass, stopped the other one, and told of both versions.
    """
    try:
        passed = _both(state(), wait)
    except TestbedError as error:
        click.echo(f"testbed: {error}", err=True)
        sys.exit(1)
    sys.exit(0 if passed else 1)


def _both(here: State, wait: str) -> bool:
    record = here.running()
    names = [node.name for node in Layout(record.subnet).containers]
    with step("images of the earlier versions"):
        archive = earlier.make(here)
        earlier.bring(archive, names)
    click.echo(
        f"{datetime.date.today()}: kube-proxy v{earlier.KUBE_PROXY} → "
        f"{earlier.AFTER['kube-proxy'].rpartition(':')[2]}, CoreDNS v{earlier.COREDNS} → "
        f"{earlier.AFTER['coredns'].rpartition(':')[2]}, {record.proxy_mode} mode"
    )
    try:
        clean = _gated(here, names, "clean", wait, lambda: None)
        with _kube_dns_restored():
            faulty = _gated(here, names, "fault", wait, _lose_the_port_for_tcp)
    finally:
        with step("leave the cluster as it was"):
            _install(earlier.AFTER, names)
            earlier.take_away(names)
    is_right = (clean, faulty) == (0, 1)
    click.echo("Both verdicts are right." if is_right else "A verdict is wrong.")
    return is_right


def _gated(
    here: State, names: Sequence[str], title: str, wait: str, besides: Callable[[], None]
) -> int:
    """One upgrade behind the gate; returns the status that it ended with."""
    with step(f"{title}: install the earlier versions"):
        _install(earlier.BEFORE, names)
    folder = here.root / "upgrade" / title
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    _write_inventory(here, folder / "inventory.yaml")

    def upgrade() -> None:
        with step(f"{title}: upgrade"):
            besides()
            _install(earlier.AFTER, names, until_programmed=False)

    verdicts = pass_through(read_steps(), upgrade, folder, {"10m": wait})
    _tell(title, verdicts)
    ended = {each.step: each for each in verdicts}
    if "after" not in ended:
        raise TestbedError(f"{title}: the gate was closed before the upgrade")
    # An upgrade that changed nothing would prove nothing.
    untold = [image for image in earlier.BEFORE.values() if image not in ended["report"].said]
    if untold:
        raise TestbedError(f"{title}: `wirecheck diff` does not show {', '.join(untold)}")
    return ended["after"].status


def _write_inventory(here: State, file: Path) -> None:
    """The cluster's, but with shorter pauses between rounds."""
    inventory = yaml.safe_load(here.inventory.read_text())
    write_atomically(file, yaml.safe_dump({**inventory, "rounds": {"intervals": [3, 6]}}))


def _install(
    images: Mapping[str, str], names: Sequence[str], *, until_programmed: bool = True
) -> None:
    """Let kube-proxy and CoreDNS run these images, as an administrator would."""
    for container, workload in WORKLOADS.items():
        kubectl("-n", "kube-system", "set", "image", workload, f"{container}={images[container]}")
    for workload in WORKLOADS.values():
        limit = f"--timeout={_LIMIT:.0f}s"
        kubectl("-n", "kube-system", "rollout", "status", workload, limit, timeout=_LIMIT + 30)
    if until_programmed:
        readiness.wait_for(
            lambda: readiness.workloads_not_running() + readiness.unprogrammed(names),
            _LIMIT,
            "the logs of kube-proxy and CoreDNS",
        )


def _lose_the_port_for_tcp() -> None:
    """The upgrade's fault: CoreDNS' new Service has no port for TCP. All stays Ready and Running.

    Queries over UDP are answered as before; whoever gets a truncated answer is left alone.
    """
    ports = [port for port in _ports() if port["protocol"] != "TCP" or port["port"] != 53]
    _set_ports(ports)


@contextmanager
def _kube_dns_restored() -> Iterator[None]:
    ports = _ports()
    try:
        yield
    finally:
        _set_ports(ports)


def _ports() -> list[dict[str, object]]:
    service = json.loads(kubectl("-n", "kube-system", "get", "service", "kube-dns", "-o", "json"))
    return list(service["spec"]["ports"])


def _set_ports(ports: Sequence[Mapping[str, object]]) -> None:
    patch = json.dumps({"spec": {"ports": ports}})
    kubectl("-n", "kube-system", "patch", "service", "kube-dns", "--type=merge", "--patch", patch)


def _tell(title: str, verdicts: Sequence[Verdict]) -> None:
    for each in verdicts:
        click.echo(f"  {title}, {each.step}: exit status {each.status} ({each.seconds:.1f} s)")
        shown = each.said.splitlines()
        shown = shown if each.step == "report" else shown[-1:]
        for line in shown[:40]:
            click.echo(f"      {line}")


if __name__ == "__main__":
    main()
