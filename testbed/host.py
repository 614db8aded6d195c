"""What the machine itself must offer: Debian packages and a Docker Engine."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from testbed import processes
from testbed.commands import TestbedError, attempt, run
from testbed.state import State

PACKAGES = {
    "dockerd": "docker.io",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
    "iptables": "iptables",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "gcc": "gcc",
    "mkfs.ext4": "e2fsprogs",
}
"""Programs, and the Debian package where each is found."""

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DOCKER_LIMIT = 90.0
_GRACE = 15.0


def check_user() -> None:
    """TestbedError unless this is root, who alone may make networks and file systems."""
    if os.geteuid() != 0:
        raise TestbedError("the test cluster needs root: use sudo, or run it in a container")


def missing_packages(wanted: dict[str, str]) -> list[str]:
    """The packages of the programs that are not there."""
    missing = {p for program, p in wanted.items() if not shutil.which(program, path=_path())}
    return sorted(missing)


def install(packages: list[str], here: State) -> None:
    """Install Debian packages; the package lists are read anew only if that fails."""
    if not shutil.which("apt-get"):
        raise TestbedError(f"install {', '.join(packages)}: apt-get is missing")
    wanted = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    quietly = {"DEBIAN_FRONTEND": "noninteractive"}
    log = here.log / "apt.log"
    if attempt(wanted, env=quietly, timeout=900, log=log).status == 0:
        return
    run(["apt-get", "update"], env=quietly, timeout=600, log=log)
    run(wanted, env=quietly, timeout=900, log=log)


def docker_answers() -> bool:
    """Whether a Docker Engine can be used."""
    return attempt(["docker", "version", "--format", "{{.Server.Version}}"]).status == 0


def start_docker(here: State) -> None:
    """Start a Docker Engine that stays when this program ends.

    Some kernels cannot stack overlay file systems; there the slow copying driver works.
    """
    for driver in ("overlay2", "vfs"):
        if _try_docker(driver, here.log / f"dockerd-{driver}.log"):
            return
    raise TestbedError(f"no Docker Engine could be started; its logs are {here.log}/dockerd-*.log")


def _try_docker(driver: str, log: Path) -> bool:
    daemon = processes.start(["dockerd", "--storage-driver", driver], log)
    limit = time.monotonic() + _DOCKER_LIMIT
    while time.monotonic() < limit:
        if docker_answers():
            return True
        if daemon.poll() is not None:
            # Another one may be starting: installing the package can start it as a service.
            limit = min(limit, time.monotonic() + _GRACE)
        time.sleep(0.3)
    daemon.terminate()
    return False


def _path() -> str:
    # Not everybody has the folders of administrators' programs in PATH.
    return f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}"
