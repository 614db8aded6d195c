"""docs/adding-a-network.md shows the real files, and its steps work as shown."""

import re
from pathlib import Path

import pytest

from tests.checks.small_cluster import SmallCluster
from wirecheck.network.plugins.kube_router import PLUGIN as KUBE_ROUTER
from wirecheck.network.registry import PLUGINS, plugin_of, records_in

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/adding-a-network.md"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = FENCE.findall(PAGE.read_text())
FILES = ("wirecheck/network/plugins/kube_router.py", "tests/network/clusters/kube_router.py")
SOURCES = [text for language, text in SHOWN if language == "python"]


@pytest.mark.parametrize(("file", "shown"), list(zip(FILES, SOURCES, strict=True)), ids=FILES)
def test_the_page_shows_the_file(file, shown):
    assert shown == (ROOT / file).read_text()
    assert f"`{file}`" in PAGE.read_text()


def test_the_page_shows_the_row():
    ((row,),) = [text.splitlines() for language, text in SHOWN if language == "text"]

    assert row in (ROOT / "docs/plugins.md").read_text().splitlines()


def test_the_steps_add_the_plugin(tmp_path: Path, monkeypatch):
    """The registry knows the plugin from the record alone, and the cluster runs its agent."""
    record, cluster = SOURCES
    (tmp_path / "added").mkdir()
    (tmp_path / "added/kube_router.py").write_text(record)
    monkeypatch.syspath_prepend(tmp_path)
    namespace: dict[str, dict] = {}
    exec(compile(cluster, FILES[1], "exec"), namespace)
    small = SmallCluster()
    without = [each for each in PLUGINS if each is not KUBE_ROUTER]
    ((name, change),) = namespace["CLUSTERS"].items()

    change(small)
    daemonsets = {
        owner["name"]
        for pod in small.api["pods"]
        for owner in pod["metadata"].get("ownerReferences", ())
    }

    assert plugin_of(daemonsets, without).name == "an unknown CNI plugin"
    found = plugin_of(daemonsets, [*records_in([str(tmp_path / "added")], "added"), *without])
    assert found.name == name == "kube-router"
    assert found == KUBE_ROUTER
