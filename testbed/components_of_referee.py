"""kube-proxies of other versions than the test cluster's, for the referee."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from testbed import components
from testbed.commands import TestbedError, run
from testbed.components import KUBERNETES
from testbed.state import SOURCE, State, is_fresh, key_of, mark_fresh, mark_stale

_PROGRAM = SOURCE / "components" / "kube-proxy" / "main.go"
_MODULE = "k8s.io/kubernetes"
_VERSION = "k8s.io/component-base/version"
_STAGED = re.compile(r"^\s*(k8s\.io/\S+) => \./staging/", re.MULTILINE)
_GO = re.compile(r"^go (\S+)", re.MULTILINE)
_BUILD_LIMIT = 3600.0
_CHECKSUMS_COMPLETE = 31
"""Of the parts of earlier minor versions the checksum database lacks some."""


def program_of(version: str) -> str:
    """The name of a version's kube-proxy in the folder of binaries."""
    return "kube-proxy" if f"v{version}" == KUBERNETES else f"kube-proxy-{version}"


def build_api_server(here: State) -> None:
    """Build etcd and the API server, with which comes a kube-proxy of the same version."""
    for component in components.COMPONENTS:
        if component.name in ("etcd", "kubernetes"):
            components.build(component, here)
    components.link_programs(here)


def build_kube_proxy(version: str, here: State) -> None:
    """Build a version's kube-proxy, or find it built."""
    target = here.bin / program_of(version)
    key = kube_proxy_key(version)
    if f"v{version}" == KUBERNETES or is_fresh(target, key):
        return
    mark_stale(target)
    work = here.root / "build" / program_of(version)
    work.mkdir(parents=True, exist_ok=True)
    shutil.copy(_PROGRAM, work / "main.go")
    env = _environment(version)
    asked = ["go", "mod", "download", "-json", f"{_MODULE}@v{version}"]
    answer = json.loads(run(asked, cwd=here.root, env=env, timeout=_BUILD_LIMIT))
    (work / "go.mod").write_text(module_file(version, Path(answer["GoMod"]).read_text()))
    draft = target.with_name(target.name + ".draft")
    flags = ["-trimpath", "-ldflags", _stamps(version), "-o", str(draft), "."]
    log = here.log / f"build-{program_of(version)}.log"
    run(["nice", "go", "build", *flags], cwd=work, env=env, timeout=_BUILD_LIMIT, log=log)
    draft.replace(target)
    mark_fresh(target, key)


def kube_proxy_key(version: str) -> str:
    """What a binary depends on."""
    return key_of([_PROGRAM, version, _stamps(version), run(["go", "env", "GOVERSION"]).strip()])


def module_file(version: str, upstream: str) -> str:
    """The go.mod that requires a version of Kubernetes, given that version's own.

    Its own names its parts by folders of the same repository; they are modules too, whose
    version has a 0 in place of the 1.
    """
    go = _GO.search(upstream)
    parts = sorted(set(_STAGED.findall(upstream)))
    if not go or not parts:
        raise TestbedError(f"the go.mod of {_MODULE} v{version} cannot be parsed")
    lines = "".join(f"\t{part} => {part} v0{version.removeprefix('1')}\n" for part in parts)
    return (
        f"module wirecheck.test/testbed/kube-proxy\n\ngo {go[1]}\n\n"
        f"require {_MODULE} v{version}\n\nreplace (\n{lines})\n"
    )


def _stamps(version: str) -> str:
    major, minor, _ = version.split(".")
    stamps = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    return " ".join(["-s -w", *(f"-X {_VERSION}.{key}={each}" for key, each in stamps.items())])


def _environment(version: str) -> dict[str, str]:
    env = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false"}
    if int(version.split(".")[1]) < _CHECKSUMS_COMPLETE:
        env["GONOSUMDB"] = "k8s.io/*"
    return env
