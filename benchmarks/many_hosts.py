"""Many hosts on one machine, and both ways to check them; `visits` runs it, on its own.

Has to be process 1 of a pid namespace, in a netns and a mount namespace of its own: nothing of
what it mounts, listens at and starts is there for anybody else, or longer than it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from benchmarks import usual_suite
from benchmarks.visits import LIMIT, Side
from wirecheck import __version__
from wirecheck.collect.plan.dns import DnsPlan
from wirecheck.collect.plan.visit_plan import Plan, RoundOptions
from wirecheck.collect.visit import visit_all
from wirecheck.inventory.file import AccessMethod
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.node import NodeAddress, NodeObject, NodeStatus

HOME = Path("/mnt")
"""Mounted over, which only this mount namespace sees."""
NO_DNS = DnsPlan(queries={}, pods=[], node=[], addresses=[], rate=1.0, tries=1, timeout=1.0)
CONFIGURATION = """\
HostKey /key
AuthorizedKeysFile /key.pub
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
MaxStartups 1000
"""


def main(rootfs: str, *numbers: str) -> None:
    """Print both sides as JSON."""
    nodes, suite_nodes, workers, processes = map(int, numbers)
    hosts = [f"127.1.{number >> 8}.{number & 255}" for number in range(1, nodes + 1)]
    config = serve(Path(rootfs), hosts)
    # The first connection to each side's hosts costs the same: keys are known to nobody.
    sides = visited(hosts, config, workers), suite(hosts[:suite_nodes], config, processes)
    print(json.dumps([asdict(side) for side in sides]))


def serve(rootfs: Path, hosts: list[str]) -> Path:
    """Start an sshd at all addresses, and return the ssh configuration that leads there."""
    run(["mount", "--make-rprivate", "/"])
    run(["mount", "-t", "tmpfs", "none", str(HOME)])
    for name in ("upper", "work", "root"):
        (HOME / name).mkdir()
    root, key = HOME / "root", HOME / "key"
    layers = f"lowerdir={rootfs},upperdir={HOME}/upper,workdir={HOME}/work"
    run(["mount", "-t", "overlay", "none", "-o", layers, str(root)])
    run(["mount", "-t", "proc", "none", str(root / "proc")])
    run(["mount", "--rbind", "/dev", str(root / "dev")])
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    for name in ("key", "key.pub"):
        shutil.copy(HOME / name, root / name)
    (root / "sshd_config").write_text(CONFIGURATION)
    (root / "run/sshd").mkdir(parents=True, exist_ok=True)
    run(["ip", "link", "set", "lo", "up"])
    added = "".join(f"addr add {host}/32 dev lo\n" for host in hosts)
    subprocess.run(["ip", "-batch", "-"], input=added.encode(), check=True, timeout=60)
    run(["chroot", str(root), "/usr/sbin/sshd", "-f", "/sshd_config"])
    wait(hosts[-1])
    config = HOME / "ssh_config"
    config.write_text(
        f"Host *\n  IdentityFile {key}\n  StrictHostKeyChecking no\n"
        "  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
    )
    return config


def run(command: list[str]) -> None:
    """Run a command that has nothing to say."""
    subprocess.run(command, check=True, timeout=60, stdout=sys.stderr)


def wait(host: str) -> None:
    """Until sshd listens."""
    end = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((host, 22), timeout=5).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return


def visited(hosts: list[str], config: Path, workers: int) -> Side:
    """wirecheck's part: every node with one command, all facts in one document."""
    methods = {
        host: AccessMethod(host, f"ssh://root@{host}", host, ssh_config=str(config))
        for host in hosts
    }
    nodes = {
        host: NodeObject(
            metadata=Metadata(name=host),
            status=NodeStatus(addresses=[NodeAddress(type="InternalIP", address=host)]),
        )
        for host in hosts
    }
    options = RoundOptions(workers=workers, total_limit=LIMIT)
    plan = Plan(__version__, options.visit_limit, options.window, NO_DNS)
    began = time.monotonic()
    found = list(visit_all(methods, nodes, lambda _: plan, options, lambda *_: None))
    seconds = time.monotonic() - began
    for _, record, document in found:
        if document is None:
            print(record.reason, file=sys.stderr)
    documents = [document for *_, document in found if document]
    size = sum(map(len, documents)) // len(documents)
    commands = sum(record.commands for _, record, _ in found) / len(found)
    name = f"wirecheck: all facts, {len(documents)} of {len(hosts)} seen"
    return Side(name, len(documents), commands, seconds, size)


def suite(hosts: list[str], config: Path, processes: int) -> Side:
    """A suite as testinfra's documentation teaches it, which ends as soon as a test fails."""
    log = HOME / "commands"
    targets = ",".join(f"ssh://root@{host}" for host in hosts)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:wirecheck",
        "-p",
        "no:randomly",
    ]
    command += ["-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(HOME)]
    command += [f"--hosts={targets}", f"--ssh-config={config}", "-n", str(processes)]
    environment = {**os.environ, usual_suite.LOG: str(log)}
    began = time.monotonic()
    subprocess.run(
        [*command, usual_suite.__file__],
        check=True,
        timeout=LIMIT,
        stdout=sys.stderr,
        env=environment,
    )
    seconds = time.monotonic() - began
    asked = len(log.read_text().splitlines()) / len(hosts)
    return Side("testinfra suite: a command a fact", len(hosts), asked, seconds)


if __name__ == "__main__":
    main(*sys.argv[1:])
