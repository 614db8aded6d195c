"""A group of checks is a file, or a folder of files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from wirecheck.catalogue.pages import index_page
from wirecheck.catalogue.registry import (
    _registry,
    catalogue_files,
    catalogue_folder,
    check,
    group_of,
    load,
    module_name,
)


@pytest.mark.parametrize(
    ("file", "group"),
    [("pods.py", "pods"), ("dns/answers.py", "dns"), ("nodes/kernel.py", "nodes")],
)
def test_the_file_or_its_folder_names_the_group(file: str, group: str) -> None:
    path = catalogue_folder() / file

    assert path in catalogue_files()
    assert group_of(path) == group
    assert module_name(path) == f"wirecheck.checks.{file.removesuffix('.py').replace('/', '.')}"


def test_a_file_of_another_package_names_its_group() -> None:
    assert group_of(Path("/opt/more/checks/sip.py")) == "sip"
    assert group_of(Path("/opt/checks/more/sip.py")) == "sip"


def test_files_are_read_once_and_in_order() -> None:
    places = [(each.function.__code__.co_filename, each.function.__code__.co_firstlineno)
              for each in load() if each.group in ("dns", "nodes")]  # fmt: skip

    assert len(load()) == len({each.id for each in load()})
    assert places == sorted(places)


@pytest.fixture
def forgotten() -> Iterator[None]:
    known = dict(_registry)
    yield
    _registry.clear()
    _registry.update(known)


@pytest.mark.usefixtures("forgotten")
def test_two_files_of_a_group_cannot_have_the_same_check() -> None:
    source = "@check(remedy='`a`')\ndef latency(node):\n    '''A.\n\n    B.'''\n    yield\n"
    code = compile(source, str(catalogue_folder() / "dns" / "again.py"), "exec")

    with pytest.raises(TypeError, match=r"dns\.latency is defined twice"):
        exec(code, {"check": check})


def test_the_index_links_files_and_folders() -> None:
    page = index_page(load())

    assert "[pods](../../checks/pods.py)" in page
    assert "[dns](../../checks/dns)" in page
