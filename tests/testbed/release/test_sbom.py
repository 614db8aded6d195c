"""The bill of the image has Debian's packages beside the Python ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from testbed.release.sbom import objections_to, with_debian_packages

PYTHON_PACKAGES = {
    "metadata": {
        "component": {"bom-ref": "root-component", "name": "wirecheck", "type": "application"}
    },
    "components": [{"bom-ref": "rich==15.0.0", "name": "rich", "type": "library"}],
    "dependencies": [{"ref": "root-component", "dependsOn": ["rich==15.0.0"]}],
}
LISTED = "libstdc++6\t14.2.0-19\tamd64\nipvsadm\t1:1.31-2\tamd64\n"


def test_debian_packages_have_urls_that_scanners_read() -> None:
    bill = with_debian_packages(PYTHON_PACKAGES, LISTED, "registry.example/wirecheck")

    urls = {each["name"]: each.get("purl") for each in bill["components"]}
    assert urls["ipvsadm"] == "pkg:deb/debian/ipvsadm@1%3A1.31-2?arch=amd64"
    assert urls["libstdc++6"] == "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19?arch=amd64"


def test_the_image_depends_on_wirecheck_and_on_every_debian_package() -> None:
    bill = with_debian_packages(PYTHON_PACKAGES, LISTED, "registry.example/wirecheck")

    root = bill["metadata"]["component"]
    depends = {each["ref"]: each["dependsOn"] for each in bill["dependencies"]}
    assert (root["name"], root["type"]) == ("registry.example/wirecheck", "container")
    assert depends[root["bom-ref"]] == [
        "root-component",
        "deb:ipvsadm:amd64",
        "deb:libstdc++6:amd64",
    ]
    references = [each["bom-ref"] for each in (root, *bill["components"])]
    assert len(references) == len(set(references))
    # What it is made of stays as it was.
    assert PYTHON_PACKAGES["metadata"]["component"]["type"] == "application"


@pytest.mark.parametrize(("valid", "found"), [("None", ""), ("'missing: version'", "missing")])
def test_an_invalid_bill_is_reported(tmp_path: Path, valid: str, found: str) -> None:
    """The library is in an environment of its own; a stand-in gives its answer."""
    validation = tmp_path / "cyclonedx/validation"
    validation.mkdir(parents=True)
    (tmp_path / "cyclonedx/schema.py").write_text("class SchemaVersion:\n    V1_6 = 6\n")
    (validation / "json.py").write_text(
        "class JsonStrictValidator:\n    def __init__(self, _): pass\n"
        f"    def validate_str(self, _): return {valid}\n"
    )
    (tmp_path / "python").write_text(
        f'#!/bin/sh\nexport PYTHONPATH={tmp_path}\nexec {sys.executable} "$@"\n'
    )
    (tmp_path / "python").chmod(0o755)
    bill = tmp_path / "bill.json"
    bill.write_text(json.dumps(PYTHON_PACKAGES))

    assert found in objections_to(tmp_path, bill)
    assert bool(objections_to(tmp_path, bill)) == bool(found)
