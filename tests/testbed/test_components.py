"""Programs that are built from a copy of their module, with files of the test bed in it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from testbed import components
from testbed.components import COMPONENTS, Component, component_key, copy_module
from testbed.networks.pod_network import network_named
from testbed.state import SOURCE, State

AGENT = network_named("cilium").components[0]
KEPT = "pkg/version/version.go"
REPLACED = "pkg/bgp/cell.go"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A module as Go's cache has it: nothing in it can be written."""
    folder = tmp_path / "cache" / "module@v1"
    for name in (KEPT, REPLACED):
        file = folder / name
        file.parent.mkdir(parents=True)
        file.write_text("package upstream\n")
        file.chmod(0o444)
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, module: Path) -> list[list[str]]:
    calls: list[list[str]] = []
    run = components.run

    def answer(argv: list[str], **options: object) -> str:
        if argv[0] != "go":
            return run(argv)
        calls.append(argv)
        return json.dumps({"Dir": str(module)})

    monkeypatch.setattr(components, "run", answer)
    return calls


def copied(here: State) -> dict[str, str]:
    folder = here.root / "build" / AGENT.module / "src"
    return {str(f.relative_to(folder)): f.read_text() for f in folder.rglob("*") if f.is_file()}


def test_our_files_replace_those_of_the_module(tmp_path: Path, asked: list[list[str]]) -> None:
    copy_module(AGENT, State(tmp_path))

    assert asked == [["go", "mod", "download", "-json", "github.com/cilium/cilium@v1.20.2"]]
    ours = (SOURCE / "components" / "cilium" / "replaced" / REPLACED).read_text()
    assert copied(State(tmp_path)) == {KEPT: "package upstream\n", REPLACED: ours}


def test_a_copy_that_is_there_is_not_made_again(tmp_path: Path, asked: list[list[str]]) -> None:
    for _ in range(2):
        copy_module(AGENT, State(tmp_path))

    assert len(asked) == 1


def test_a_copy_of_another_version_takes_its_place(
    tmp_path: Path, asked: list[list[str]], module: Path
) -> None:
    copy_module(AGENT, State(tmp_path))
    (module / KEPT).unlink()
    copy_module(replace(AGENT, copies="github.com/cilium/cilium@v1.20.3"), State(tmp_path))

    assert len(asked) == 2
    assert set(copied(State(tmp_path))) == {REPLACED}


def test_most_modules_are_not_copied(tmp_path: Path, asked: list[list[str]]) -> None:
    for component in COMPONENTS:
        copy_module(component, State(tmp_path))

    assert not asked
    assert not (tmp_path / "build").exists()


def test_a_program_depends_on_the_files_that_replace_those_of_its_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(components, "_go_version", lambda: "go1.26.0")
    other = replace(AGENT, copies="github.com/cilium/cilium@v1.20.3")

    assert component_key(AGENT) != component_key(other)


def test_the_description_of_a_program_without_a_copy_is_as_it_was() -> None:
    """It is part of the key of all that is in the cache."""
    assert repr(Component("etcd", "etcd", "x")) == (
        "Component(name='etcd', module='etcd', package='x', ldflags='-s -w', cgo=False)"
    )
