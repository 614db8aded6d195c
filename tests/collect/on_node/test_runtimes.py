"""Pods as Docker Engine runs them, with the names, labels and cgroups of kubelet's Docker runtimes.

Real containers, where this machine has a Docker Engine. CRI-O's layout is in test_processes.py,
by its documentation.
"""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.needs import lacking, need
from wirecheck.collect.on_node import processes
from wirecheck.collect.on_node.pod_files import read_all
from wirecheck.collect.on_node.processes import Processes, netns_of, scan

PATIENCE = 60.0
PAUSE = "#include <unistd.h>\nint main(void) { for (;;) pause(); }\n"


def docker(*words: str) -> str:
    ended = subprocess.run(
        ["docker", *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One static program that waits, as the pause container does."""
    need("root", "docker")
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        lacking("docker", "whose engine does not answer")
    folder = tmp_path_factory.mktemp("pause")
    (folder / "pause.c").write_text(PAUSE)
    program = folder / "pause"
    subprocess.run(
        ["gcc", "-static", "-Os", "-o", program, folder / "pause.c"], check=True, timeout=120
    )
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(program, "pause")
    name = f"wirecheck.test/pause:{uuid.uuid4().hex[:8]}"
    subprocess.run(
        ["docker", "import", "-", name], input=archive.getvalue(), check=True, timeout=120
    )
    yield name
    docker("image", "rm", "--force", name)


@dataclass
class DockerPod:
    """A sandbox with a network of its own, and a container that shares it."""

    uid: str
    sandbox: str
    container: str

    def pid(self, container: str) -> int:
        """By hand: docker inspect -f {{.State.Pid}} CONTAINER."""
        return int(docker("inspect", "-f", "{{.State.Pid}}", container))

    @property
    def netns(self) -> int:
        return Path(f"/proc/{self.pid(self.sandbox)}/ns/net").stat().st_ino


@pytest.fixture
def start(image: str) -> Iterator[object]:
    """Start a pod as cri-dockerd does: in `parent`, with kubelet's names and labels."""
    started: list[str] = []

    def start(uid: str, parent: str) -> DockerPod:
        names = {}
        for kind, network in (("podsandbox", "bridge"), ("container", "")):
            short = "POD" if kind == "podsandbox" else "web"
            name = f"k8s_{short}_web-0_shop_{uid}_0"
            labels = {
                "io.kubernetes.pod.name": "web-0",
                "io.kubernetes.pod.namespace": "shop",
                "io.kubernetes.pod.uid": uid,
                "io.kubernetes.container.name": short,
                "io.kubernetes.docker.type": kind,
            }
            words = [w for key, value in labels.items() for w in ("--label", f"{key}={value}")]
            shared = network or f"container:{names['podsandbox']}"
            docker(
                *("run", "--detach", "--name", name, "--cgroup-parent", parent),
                *("--network", shared, *words, image, "/pause"),
            )
            started.append(name)
            names[kind] = name
        return DockerPod(uid, names["podsandbox"], names["container"])

    yield start
    if started:
        docker("rm", "--force", *started)


def driver() -> str:
    return str(json.loads(docker("info", "--format", "{{json .CgroupDriver}}")))


def found(uid: str) -> Processes:
    """A scan that has seen both containers: docker answers before they have their cgroups."""
    deadline = time.monotonic() + PATIENCE
    while (seen := scan()).members.get(uid, 0) < 2:
        assert time.monotonic() < deadline, seen.members
        time.sleep(0.2)
    return seen


@pytest.mark.parametrize("quality", ["burstable", "besteffort", ""])
@pytest.mark.parametrize("static", [False, True], ids=["", "static"])
def test_a_pod_of_docker_engine_is_found_with_its_netns(start, quality: str, static: bool) -> None:
    uid = uuid.uuid4().hex if static else str(uuid.uuid4())
    if driver() == "systemd":
        prefix = f"kubepods-{quality}" if quality else "kubepods"
        parent = f"{prefix}-pod{uid.replace('-', '_')}.slice"
    else:
        parent = "/".join(filter(None, ["/kubepods", quality, f"pod{uid}"]))
    pod = start(uid, parent)

    seen = found(uid)
    host = Path("/proc/self/ns/net").stat().st_ino
    assert netns_of(seen.pods[uid], host) == pod.netns != host
    assert set(seen.pods[uid]) == {pod.netns}, "the container shares the sandbox's"
    assert {pod.pid(pod.sandbox), pod.pid(pod.container)} == set(seen.pods[uid][pod.netns])
    assert seen.members[uid] == 2
    assert seen.runtimes[uid] == "docker"
    resolv_conf = read_all({uid: seen.pods[uid][pod.netns]}, 10.0)[uid]
    assert "nameserver" in resolv_conf.get("text", ""), resolv_conf


def test_a_container_of_docker_engine_that_is_no_pod_is_none(image: str) -> None:
    name = f"wirecheck-test-{uuid.uuid4().hex[:8]}"
    docker("run", "--detach", "--name", name, "--network", "none", image, "/pause")
    try:
        pid = int(docker("inspect", "-f", "{{.State.Pid}}", name))
        text = Path(f"/proc/{pid}/cgroup").read_text()
        assert processes.find_pods(text) == []
    finally:
        docker("rm", "--force", name)
