"""Software bills of materials (CycloneDX): of the Python packages, and of the whole image."""

from __future__ import annotations

import json
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from testbed.commands import attempt, run

Document = dict[str, Any]

SPECIFICATION = "1.6"
_VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
sys.exit(JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read()))
"""
"""Runs in the tools' environment, which has the library. Exits with 0 if the SBOM is valid."""


def read_sbom(tools: Path, wheel: Path, lock: Path, tree: Path, scratch: Path) -> Document:
    """Return the bill of the wheel and everything that the lock installs beside it.

    It describes an environment that has nothing else, not even pip.
    """
    environment = scratch / "environment"
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin/python"
    pip = [sys.executable, "-m", "pip", "--quiet", "--python", str(python), "install"]
    locked = ["--require-hashes", "--only-binary", ":all:", "--requirement", str(lock)]
    run([*pip, *locked], timeout=900)
    run([*pip, "--no-index", "--no-deps", str(wheel)], timeout=300)
    target = scratch / "sbom.json"
    run(
        [
            *(str(tools / "cyclonedx-py"), "environment", "--output-reproducible"),
            *("--pyproject", str(tree / "pyproject.toml"), "--mc-type", "application"),
            *("--spec-version", SPECIFICATION, "--output-format", "JSON"),
            *("--output-file", str(target), str(python)),
        ],
        timeout=300,
    )
    read: Document = json.loads(target.read_text())
    return read


def objections_to(tools: Path, sbom: Path) -> str:
    """Return why the file is not valid by the schema of CycloneDX; empty if it is valid."""
    ended = attempt([str(tools / "python"), "-c", _VALIDATE, str(sbom)], timeout=120)
    if ended.status == 0:
        return ""
    return ended.stderr.strip()[-600:] or f"the validation ended with {ended.status}"


def with_debian_packages(sbom: Mapping[str, Any], listed: str, name: str) -> Document:
    """Return the bill of the image: the Python packages, and Debian's as dpkg-query lists them.

    Each line of `listed` has a package, its version and its architecture, separated by tabs.
    """
    root = {**sbom["metadata"]["component"], "type": "container", "bom-ref": "image", "name": name}
    inner = sbom["metadata"]["component"]
    packages = [_debian(*line.split("\t")) for line in sorted(listed.splitlines()) if line]
    dependencies = [
        *sbom.get("dependencies", ()),
        {"ref": "image", "dependsOn": [inner["bom-ref"], *(each["bom-ref"] for each in packages)]},
    ]
    return {
        **sbom,
        "metadata": {**sbom["metadata"], "component": root},
        "components": [inner, *sbom["components"], *packages],
        "dependencies": dependencies,
    }


def _debian(name: str, version: str, architecture: str) -> Document:
    # A package URL escapes `+` and `:`, which are frequent in Debian's versions.
    url = f"pkg:deb/debian/{quote(name, safe='')}@{quote(version, safe='')}?arch={architecture}"
    return {
        "type": "library",
        "bom-ref": f"deb:{name}:{architecture}",
        "name": name,
        "version": version,
        "purl": url,
    }
