"""The cluster's programs, built from Go modules."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.commands import TestbedError, run
from testbed.state import SOURCE, State, is_fresh, key_of, mark_fresh, mark_stale

KUBERNETES = "v1.34.4"
PROGRAMS_OF_KUBERNETES = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubeadm",
    "kubectl",
    "kubelet",
)
"""The names by which the one Kubernetes binary is called."""

_VERSION = "k8s.io/component-base/version"
_STAMPED = (
    f"-X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=34"
    f" -X {_VERSION}.gitTreeState=clean"
)
_BUILD_LIMIT = 3600.0


@dataclass(frozen=True, slots=True)
class Component:
    """One binary: the folder of its Go module, what to build there, and how."""

    name: str
    module: str
    package: str
    ldflags: str = "-s -w"
    cgo: bool = False


COMPONENTS = (
    Component("kubernetes", "kubernetes", ".", f"-s -w {_STAMPED}"),
    Component("agnhost", "kubernetes", "k8s.io/kubernetes/test/images/agnhost"),
    Component("etcd", "etcd", "go.etcd.io/etcd/server/v3"),
    Component("coredns", "coredns", "github.com/coredns/coredns"),
    # flannel's UDP backend is C code.
    Component(
        "flanneld",
        "flannel",
        "github.com/flannel-io/flannel",
        '-s -w -extldflags "-static"',
        cgo=True,
    ),
)


def outdated(here: State, further: Sequence[Component] = ()) -> list[Component]:
    """The components whose binary is missing, or was made from something else.

    `further` are those that only some clusters have.
    """
    wanted = (*COMPONENTS, *further)
    return [c for c in wanted if not is_fresh(here.bin / c.name, component_key(c))]


def component_key(component: Component) -> str:
    """What a binary depends on."""
    folder = SOURCE / "components" / component.module
    return key_of([repr(component), _go_version(), *sorted(folder.iterdir())])


def build(component: Component, here: State) -> Path:
    """Build one binary, or find it built; TestbedError names the log of a failed build."""
    target = here.bin / component.name
    key = component_key(component)
    if is_fresh(target, key):
        return target
    mark_stale(target)
    work = _work_folder(component, here)
    log = here.log / f"build-{component.name}.log"
    # Builds write nothing into the source tree: no lock file with a registry's name is kept.
    run(["go", "mod", "tidy"], cwd=work, timeout=_BUILD_LIMIT, log=log)
    draft = target.with_name(target.name + ".draft")
    began = time.monotonic()
    run(_go_build(component, draft), cwd=work, timeout=_BUILD_LIMIT, log=log, env=_env(component))
    _seconds_file(component, here).write_text(f"{time.monotonic() - began:.0f}")
    draft.replace(target)
    mark_fresh(target, key)
    return target


def built_in(here: State, component: Component) -> float:
    """The seconds that its last build took; 0 where that was not noted."""
    file = _seconds_file(component, here)
    return float(file.read_text()) if file.exists() else 0.0


def _seconds_file(component: Component, here: State) -> Path:
    return here.bin / f"{component.name}.seconds"


def _go_build(component: Component, target: Path) -> list[str]:
    flags = ["-trimpath", "-buildvcs=false", "-ldflags", component.ldflags]
    return ["nice", "go", "build", *flags, "-o", str(target), component.package]


def _env(component: Component) -> dict[str, str]:
    return {"CGO_ENABLED": "1" if component.cgo else "0"}


def _work_folder(component: Component, here: State) -> Path:
    work = here.root / "build" / component.module
    work.mkdir(parents=True, exist_ok=True)
    here.bin.mkdir(parents=True, exist_ok=True)
    for file in (SOURCE / "components" / component.module).iterdir():
        shutil.copy(file, work / file.name)
    return work


def _go_version() -> str:
    if shutil.which("go") is None:
        raise TestbedError("there is no `go` in PATH: install Go 1.24 or later")
    return run(["go", "env", "GOVERSION"]).strip()


def link_programs(here: State) -> None:
    """Make each Kubernetes program callable by its name in the folder of binaries."""
    for name in PROGRAMS_OF_KUBERNETES:
        link = here.bin / name
        if not link.is_symlink():
            link.symlink_to("kubernetes")
