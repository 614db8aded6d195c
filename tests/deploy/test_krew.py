"""The plugin's archive is complete, starts by a link, and krew would accept its manifest."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from testbed.krew import MACHINES, PROGRAM, PYTHONS, SOURCE, manifest, members, pack, version

ROOT = Path(__file__).parents[2]
PUBLISHING = tomllib.loads((ROOT / "publishing.toml").read_text())
VALIDATOR = Draft202012Validator(
    json.loads((Path(__file__).parent / "krew_plugin.schema.json").read_text())
)
RUNNING = f"{sys.version_info.major}.{sys.version_info.minor}"
NOWHERE = "0.9"


@pytest.fixture
def archives(tmp_path: Path) -> dict[str, Path]:
    found = {each: tmp_path / f"{PROGRAM}-{version()}-linux-{each}.tar.gz" for each in MACHINES}
    for machine, path in found.items():
        path.write_text(machine)
    return found


def wheel(folder: Path, name: str, files: dict[str, str]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    with zipfile.ZipFile(path, "w") as out:
        for each, text in files.items():
            out.writestr(each, text)
    return path


def plugin(folder: Path, python: str) -> Path:
    """Unpack an archive whose package only prints; return krew's link to its program."""
    says = "def main():\n    import compiled, sys\n    print(compiled.NAME, *sys.argv[1:])\n"
    package = {f"wirecheck/{each}__init__.py": "" for each in ("", "cli/")}
    ours = wheel(
        folder, "wirecheck-1-py3-none-any.whl", {**package, "wirecheck/cli/kubectl_plugin.py": says}
    )
    theirs = wheel(folder, "compiled-1-cp-cp-linux.whl", {"compiled.py": f"NAME = {python!r}\n"})
    target = folder / "plugin.tar.gz"
    pack(members({python: [ours, theirs]}), target)
    with tarfile.open(target) as packed:
        packed.extractall(folder / "store", filter="data")
    link = folder / "link"
    link.symlink_to(folder / "store" / PROGRAM)
    return link


def started(link: Path, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    names = tmp_path / "python"
    names.mkdir()
    (names / "python3").symlink_to(sys.executable)
    return subprocess.run(
        [link, "run", "--help"],
        env={**os.environ, "PATH": f"{names}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_krew_would_accept_the_manifest(archives: dict[str, Path]) -> None:
    content = yaml.safe_load(manifest(archives))

    assert [error.message for error in VALIDATOR.iter_errors(content)] == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda plugin: plugin.update(apiVersion="krew.googlecontainertools.github.com/v1"),
        lambda plugin: plugin["metadata"].update(name="Wire check"),
        lambda plugin: plugin["spec"].update(version="0.1.0"),
        lambda plugin: plugin["spec"].update(shortDescription="a\nb"),
        lambda plugin: plugin["spec"].update(platforms=[]),
        lambda plugin: plugin["spec"].pop("homepage"),
        lambda plugin: plugin["spec"]["platforms"][0].update(sha256="0" * 63),
        lambda plugin: plugin["spec"]["platforms"][0].update(uri="${repository}/a.tar.gz"),
        lambda plugin: plugin["spec"]["platforms"][0].update(selector={}),
        lambda plugin: plugin["spec"]["platforms"][0].update(bin="../kubectl"),
        lambda plugin: plugin["spec"]["platforms"][0].update(files=[]),
        lambda plugin: plugin["spec"]["platforms"][0]["selector"]["matchLabels"].update(cpu="x"),
    ],
)
def test_a_manifest_that_krew_refuses_is_noticed(
    archives: dict[str, Path], damage: Callable[[Any], object]
) -> None:
    content = yaml.safe_load(manifest(archives))
    damage(content)

    assert list(VALIDATOR.iter_errors(content))


def test_addresses_version_and_digests_are_those_of_the_release(archives: dict[str, Path]) -> None:
    text = manifest(archives)
    spec = yaml.safe_load(text)["spec"]

    assert spec["homepage"] == PUBLISHING["repository"]
    assert spec["version"] == f"v{version()}"
    base = f"{PUBLISHING['repository']}/releases/download/v{version()}"
    for platform, machine in zip(spec["platforms"], MACHINES, strict=True):
        assert platform["selector"]["matchLabels"] == {"os": "linux", "arch": machine}
        assert platform["uri"] == f"{base}/{archives[machine].name}"
        assert platform["sha256"] == hashlib.sha256(archives[machine].read_bytes()).hexdigest()
        assert platform["bin"] == PROGRAM
    assert "$" not in text


def test_the_caveat_names_the_versions_of_python_in_the_archive() -> None:
    caveats = yaml.safe_load((SOURCE / "wirecheck.yaml").read_text())["spec"]["caveats"]
    named = re.search(r"Python (\S+) to (\S+)", caveats)

    assert named
    assert named.groups() == (PYTHONS[0], PYTHONS[-1])


def test_the_program_starts_by_a_link_with_the_libraries_of_its_python(tmp_path: Path) -> None:
    ended = started(plugin(tmp_path, RUNNING), tmp_path)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{RUNNING} run --help\n", "")


def test_another_python_is_a_sentence(tmp_path: Path) -> None:
    ended = started(plugin(tmp_path, NOWHERE), tmp_path)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"kubectl-wirecheck needs Python {NOWHERE}, and `python3` is {RUNNING}."
        " Put one of these versions first on PATH as `python3`.\n"
    )


def test_files_of_pure_wheels_are_there_once_and_others_for_each_python(tmp_path: Path) -> None:
    wheels = {}
    for python in ("3.11", "3.12"):
        files = {"pure.py": "", "pure-1.data/data/share/man/man1/pure.1": ""}
        pure = wheel(tmp_path / python, "pure-1-py3-none-any.whl", files)
        compiled = wheel(tmp_path / python, f"fast-1-cp{python}-cp-x.whl", {"fast.so": python})
        wheels[python] = [pure, compiled]

    found = members(wheels)

    assert {name for name in found if name.endswith(("pure.py", "fast.so"))} == {
        "lib/pure.py",
        "lib-3.11/fast.so",
        "lib-3.12/fast.so",
    }
    assert found["lib-3.12/fast.so"] == b"3.12"
    assert {PROGRAM, "LICENSE"} < set(found)
    assert [name for name in found if "share/man" in name] == []


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    """Its digest is in the manifest, which may be made again later."""
    for name in ("a.tar.gz", "b.tar.gz"):
        pack({"lib/a.py": b"1", PROGRAM: b"2"}, tmp_path / name)

    assert (tmp_path / "a.tar.gz").read_bytes() == (tmp_path / "b.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "a.tar.gz") as packed:
        assert {each.name: each.mode for each in packed.getmembers()} == {
            "lib/a.py": 0o644,
            PROGRAM: 0o755,
        }
