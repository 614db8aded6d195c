"""FelixConfigurations by which Calico's agent repairs nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.calico import changed, objects_beside, with_objects
from tests.changed_recordings import items
from wirecheck.api_index.felix_configuration import ZERO
from wirecheck.catalogue.findings import Level, NotApplicable, Outcome
from wirecheck.network.registry import PLUGIN_NAMES
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.redact import redact

CHECK, IPT = "settings.refreshed_by_calico", "healthy-iptables"
Make = Callable[..., Path]


@pytest.fixture
def with_settings(tmp_path: Path) -> Make:
    """A copy of the healthy recording with these settings in its FelixConfiguration."""

    def make(**spec: Any) -> Path:
        found = objects_beside(IPT)["felixConfigurations"]
        found[0]["spec"].update(spec)
        folder = changed(IPT, tmp_path, lambda *_: None)
        return with_objects(folder, {"felixConfigurations": found})

    return make


def test_the_recorded_configuration_passes(with_settings: Make) -> None:
    (item,) = items(with_settings(routeRefreshInterval="90s", ipsetsRefreshInterval="1m30s"), CHECK)

    assert item.outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ("iptablesRefreshInterval", "iptables rules"),
        ("nftablesRefreshInterval", "nftables rules"),
        ("ipsetsRefreshInterval", "ipsets"),
        ("routeRefreshInterval", "routes"),
    ],
)
def test_an_interval_of_zero_is_a_warning(with_settings: Make, setting: str, what: str) -> None:
    (item,) = items(with_settings(**{setting: "0s"}), CHECK)

    (finding,) = item.findings
    assert (str(finding.object), finding.level) == ("FelixConfiguration default", Level.WARN)
    assert finding.expected == f"felix refreshes {what}"
    wanted = f"`kubectl edit felixconfigurations default`, field `spec.{setting}`"
    assert wanted in finding.remedy


def test_each_interval_is_a_finding_of_its_own(with_settings: Make) -> None:
    folder = with_settings(routeRefreshInterval="0s", ipsetsRefreshInterval="0")

    (item,) = items(folder, CHECK)
    assert len(item.findings) == 2


@pytest.mark.parametrize("text", ["0", "0s", "0m0s", "0h0m0s", "0.0s", "0ms"])
def test_zero_can_be_written_in_several_ways(text: str) -> None:
    assert ZERO.fullmatch(text)


@pytest.mark.parametrize("text", ["", "90s", "0m1s", "10s", "1h0m0s", "0.5s", "s", "-1s"])
def test_other_durations_are_not_zero(text: str) -> None:
    assert not ZERO.fullmatch(text)


def test_other_networks_have_none(small: Any) -> None:
    with pytest.raises(NotApplicable, match="no FelixConfiguration of Calico was read"):
        small.findings(CHECK)


def test_a_redacted_snapshot_gives_the_same_result(
    with_settings: Make, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copy = tmp_path_factory.mktemp("redacted")
    redact(Snapshot.open(with_settings(routeRefreshInterval="0s")), copy, PLUGIN_NAMES)

    (item,) = items(copy, CHECK)
    assert item.outcome is Outcome.WARN
