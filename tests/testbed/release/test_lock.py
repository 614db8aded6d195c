"""The locks: every dependency has a version and hashes, and no registry is named."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from testbed.deploy.image import DOCKERFILE
from testbed.release.lock import OF_IMAGE, OF_TOOLS, PROJECT, SOURCES, command

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
DECLARED = {
    OF_IMAGE: PYPROJECT["project"]["dependencies"],
    OF_TOOLS: PYPROJECT["dependency-groups"]["release"],
}
PIN = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>[\w.]+)(?P<marker> ; [^\\]+?)?")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def entries(text: str) -> dict[str, str]:
    """Each pinned name with its version. Raises ValueError where a line is anything else."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE))
    found: dict[str, str] = {}
    for line in joined.splitlines():
        requirement, *hashes = line.split(" --hash=")
        match = PIN.fullmatch(requirement.strip())
        if not match or not hashes:
            raise ValueError(f"neither a pin with hashes nor a comment: {line[:120]}")
        if not all(HASH.fullmatch(f"--hash={each.strip()}") for each in hashes):
            raise ValueError(f"not a SHA-256: {line[:120]}")
        found[match["name"]] = match["version"]
    return found


def uncovered(lock: dict[str, str], declared: list[str]) -> list[str]:
    """The declared dependencies that the lock lacks, or pins to a version that is not allowed."""
    wanted = [Requirement(each) for each in declared]
    return [
        str(each)
        for each in wanted
        if not each.specifier.contains(lock.get(canonicalize_name(each.name), "0"))
    ]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.parent.name)
def test_a_lock_covers_what_the_project_declares(path: Path) -> None:
    lock = entries(path.read_text())

    assert uncovered(lock, DECLARED[path]) == []
    # Dependencies of dependencies are pinned too: pip refuses a requirement without a hash.
    assert len(lock) > len(DECLARED[path])


def test_a_dependency_that_is_new_or_outside_its_range_is_noticed() -> None:
    lock = {"click": "8.5.1"}

    assert uncovered(lock, ["click>=8.2,<9"]) == []
    assert uncovered(lock, ["Click>=9"]) == ["Click>=9"]
    assert uncovered(lock, ["click", "rich>=14"]) == ["rich>=14"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.parent.name)
def test_a_lock_names_no_registry(path: Path) -> None:
    text = path.read_text()

    assert "://" not in text
    assert "index" not in text


@pytest.mark.parametrize(
    "line",
    [
        "rich>=14 --hash=sha256:" + 64 * "0",
        "rich==15.0.0",
        "rich==15.0.0 --hash=md5:" + 32 * "0",
        "rich==15.0.0 --hash=sha256:" + 63 * "0",
        "--index-url https://registry.test/simple",
        "rich @ https://registry.test/rich.whl --hash=sha256:" + 64 * "0",
        "-e .",
    ],
)
def test_anything_but_a_pin_with_hashes_is_refused(line: str) -> None:
    good = "click==8.5.1 \\\n    --hash=sha256:" + 64 * "a" + "\n    # via wirecheck\n"

    assert entries(good) == {"click": "8.5.1"}
    with pytest.raises(ValueError, match=r"neither|not a SHA"):
        entries(good + line + "\n")


def test_the_image_installs_nothing_without_a_hash() -> None:
    recipe = re.sub(r"\s*\\\n\s*", " ", DOCKERFILE.read_text())
    installs = re.findall(r"pip install (.*?)(?= && |\n)", recipe)

    dependencies, wheel = installs
    assert "--require-hashes" in dependencies
    assert dependencies.endswith(f"--requirement /wheels/{OF_IMAGE.name}")
    # The wheel is part of the build context, and brings no dependency along.
    assert {"--no-index", "--no-deps"} <= set(wheel.split())


def test_a_lock_is_made_for_every_supported_python_and_without_addresses() -> None:
    words = command(Path("uv"), OF_IMAGE, SOURCES[OF_IMAGE], upgrade=False)
    oldest = words[words.index("--python-version") + 1]

    assert PYPROJECT["project"]["requires-python"] == f">={oldest}"
    assert {"--generate-hashes", "--universal", "--no-emit-index-url"} <= set(words)
    assert "--upgrade" not in words
    assert "--upgrade" in command(Path("uv"), OF_IMAGE, (), upgrade=True)
