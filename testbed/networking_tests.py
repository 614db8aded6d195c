"""Kubernetes' own end-to-end tests of networking, built for the test cluster, and their image.

Their binary and the program that their pods run come out of the same Go module as the cluster.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from testbed.commands import TestbedError, run
from testbed.components import KUBERNETES
from testbed.components_of_referee import module_file
from testbed.images import Image, build_further_images
from testbed.state import SOURCE, State, is_fresh, key_of, mark_fresh, mark_stale

_PROGRAM = SOURCE / "components" / "networking-tests" / "networking_test.go"
_ENVIRONMENT = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false"}
_BUILD_LIMIT = 3600.0
_TOOLS = ("bash", "curl", "grep")
"""What the tests call in their pods, beside `nc`."""
_ARCHIVE = "/var/tmp/networking-tests.tar"


def build(here: State) -> Path:
    """Build the tests, which takes ten minutes, or find them built."""
    target = here.bin / "networking-tests"
    key = key_of([_PROGRAM, KUBERNETES, run(["go", "env", "GOVERSION"]).strip()])
    if is_fresh(target, key):
        return target
    mark_stale(target)
    work = here.root / "build" / target.name
    work.mkdir(parents=True, exist_ok=True)
    shutil.copy(_PROGRAM, work / _PROGRAM.name)
    module = f"k8s.io/kubernetes@{KUBERNETES}"
    answer = run(["go", "mod", "download", "-json", module], cwd=work.parent, timeout=_BUILD_LIMIT)
    upstream = Path(json.loads(answer)["GoMod"]).read_text()
    (work / "go.mod").write_text(module_file(KUBERNETES.removeprefix("v"), upstream))
    draft = target.with_name(f"{target.name}.draft")
    command = ["nice", "go", "test", "-c", "-trimpath", "-ldflags", "-s -w", "-o", str(draft), "."]
    log = here.log / f"build-{target.name}.log"
    run(command, cwd=work, env=_ENVIRONMENT, timeout=_BUILD_LIMIT, log=log)
    draft.replace(target)
    mark_fresh(target, key)
    return target


def bring_image(program: Path, nodes: Sequence[str], here: State) -> None:
    """Make the image that the tests' pods have by the name that they ask for, on each node."""
    listed = run([str(program), "--list-images"]).split()
    name = next(each for each in listed if "/e2e-test-images/agnhost:" in each)
    archive = here.images / "networking-tests.tar"
    image = Image(name, ("agnhost", "net-tools"), ("/agnhost",))
    beside = {"usr/bin/nc": _netcat()}
    build_further_images(here, {image: here.bin / "agnhost"}, archive, _TOOLS, beside)
    with ThreadPoolExecutor(len(nodes)) as pool:
        list(pool.map(lambda node: _import(node, archive), nodes))


def _netcat() -> Path:
    """The one with UDP, whose libraries the nodes' file system has."""
    found = shutil.which("nc.openbsd")
    if not found:
        raise TestbedError("nc.openbsd is not in PATH: install netcat-openbsd")
    return Path(found)


def _import(node: str, archive: Path) -> None:
    run(["docker", "cp", str(archive), f"{node}:{_ARCHIVE}"], timeout=300)
    ctr = ["ctr", "--namespace", "k8s.io", "images", "import", _ARCHIVE]
    run(["docker", "exec", node, *ctr], timeout=300)
    run(["docker", "exec", node, "rm", _ARCHIVE])


def run_tests(program: Path, here: State, focus: str, report: Path, limit: float) -> bool:
    """Run the tests that `focus` matches, and leave their JSON report; whether all passed.

    Without those that need what the cluster does not have (SCTP, a second family, the internet)
    and those that disrupt it.
    """
    command = [
        *(str(program), "--provider=skeleton", "--dump-logs-on-failure=false"),
        *("--kubeconfig", str(here.kubeconfig), "--kubectl-path", str(here.bin / "kubectl")),
        *("--ginkgo.no-color", "--ginkgo.v", f"--ginkgo.timeout={limit:.0f}s"),
        f"--ginkgo.focus={focus}",
        "--ginkgo.skip=Feature:|Disruptive|Serial",
        f"--ginkgo.json-report={report}",
    ]
    with (here.log / "networking-tests.log").open("wb") as log:
        done = subprocess.run(
            command, stdout=log, stderr=log, cwd=here.root, check=False, timeout=limit + 120
        )
    return done.returncode == 0
