"""The cluster's programs, built from Go modules."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
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
STAMPED = (
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
    # Not part of the description that a key is made of: most components have no copy.
    copies: str = field(default="", repr=False)
    """A module, as `PATH@VERSION`, that go.mod replaces by a copy of it in the folder `src`.

    The files of the folder `replaced` are put over the copy: with them a module can be built
    although something that it requires is not served.
    """
    go_mod_of: str = field(default="", repr=False)
    """Another folder of `components`, whose go.mod it has, and so the same versions."""


COMPONENTS = (
    Component("kubernetes", "kubernetes", ".", f"-s -w {STAMPED}"),
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
    copied = [component.copies] if component.copies else []
    files = [*sorted(folder.iterdir()), *_borrowed(component)]
    return key_of([repr(component), _go_version(), *copied, *files])


def _borrowed(component: Component) -> list[Path]:
    other = component.go_mod_of
    return [SOURCE / "components" / other / "go.mod"] if other else []


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
    folder = SOURCE / "components" / component.module
    for file in (*folder.iterdir(), *_borrowed(component)):
        if file.is_file():
            shutil.copy(file, work / file.name)
    copy_module(component, here)
    return work


def copy_module(component: Component, here: State) -> None:
    """Make the copy of a module that a component is built from, or find it made.

    Go compares the module with the checksum database before it hands it out.
    """
    if not component.copies:
        return
    target = here.root / "build" / component.module / "src"
    replaced = SOURCE / "components" / component.module / "replaced"
    key = key_of([component.copies, replaced])
    if is_fresh(target, key):
        return
    mark_stale(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    asked = ["go", "mod", "download", "-json", component.copies]
    answer = json.loads(run(asked, cwd=here.root, timeout=_BUILD_LIMIT))
    shutil.rmtree(target, ignore_errors=True)
    # Files in Go's cache are read-only, and so would be their copies.
    shutil.copytree(answer["Dir"], target, copy_function=shutil.copyfile)
    run(["chmod", "-R", "u+w", str(target)])
    shutil.copytree(replaced, target, dirs_exist_ok=True)
    mark_fresh(target, key)


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
