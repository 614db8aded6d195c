"""How the proof with Sonobuoy judges what Sonobuoy tells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.deploy.sonobuoy import PLUGIN, SONOBUOY, VERSION, with_image, wrong
from testbed.state import SOURCE
from wirecheck.inventory.file import read_inventory

REPORT = "Plugin: wirecheck\nStatus: passed\nTotal: 55\n"
KEPT = ["plugins/wirecheck/results/global/sonobuoy_results.yaml"]


def told(**changes: Any) -> dict[str, Any]:
    plugin = {
        "plugin": "wirecheck",
        "status": "complete",
        "result-status": "passed",
        "progress": {"total": 3, "completed": 3},
        **changes,
    }
    return {"plugins": [plugin]}


def tree(**changes: Any) -> dict[str, Any]:
    groups = [{"name": name, "status": "passed"} for name in ("dns", "pods")]
    return {"name": "wirecheck", "status": "passed", "items": groups, **changes}


def test_a_plugin_that_passed() -> None:
    assert wrong(told(), tree(), REPORT, KEPT) == []


def test_a_plugin_that_had_no_way_into_a_node() -> None:
    seen = told(**{"result-status": "unknown"})
    report = REPORT.replace("passed", "unknown")

    assert wrong(seen, tree(status="unknown"), report, KEPT, "unknown") == []
    assert len(wrong(seen, tree(status="unknown"), report, KEPT)) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"told": told(status="failed")}, "status is 'failed', not 'complete'"),
        ({"told": told(progress=None)}, "the progress is {}"),
        ({"tree": tree(status="unknown")}, "wirecheck is unknown"),
        ({"tree": tree(items=[{"name": "pods"}])}, "the group dns has no results"),
        ({"report": "Plugin: wirecheck\nStatus: failed\n"}, "sonobuoy results says"),
        ({"kept": ["meta/info.json"]}, "the archive lacks the plugin's sonobuoy_results.yaml"),
    ],
)
def test_whatever_is_not_as_it_should_be_is_said(changes: dict[str, Any], said: str) -> None:
    given = {"told": told(), "tree": tree(), "report": REPORT, "kept": KEPT, **changes}

    (problem,) = wrong(**given)

    assert said in problem


def test_the_image_is_set_in_both_places(tmp_path: Path) -> None:
    plugin = with_image(yaml.safe_load(PLUGIN.read_text()), "registry.example/wirecheck:1")

    file = tmp_path / "inventory.yaml"
    file.write_text(plugin["config-map"]["inventory.yaml"])
    assert plugin["spec"]["image"] == "registry.example/wirecheck:1"
    assert read_inventory(file).agent.image == "registry.example/wirecheck:1"


def test_the_release_is_the_one_that_is_built() -> None:
    module = (SOURCE / "components" / SONOBUOY.module / "go.mod").read_text()

    assert f"github.com/vmware-tanzu/sonobuoy {VERSION}\n" in module
