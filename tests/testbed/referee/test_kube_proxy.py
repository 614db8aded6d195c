"""The configurations of kube-proxy that the referee tries."""

from pathlib import Path

import pytest
import yaml

from testbed.referee.kube_proxy import CONFIGS, Contestant, configs, gates, settings
from wirecheck.dataplane.proxy import GATES, proxy_facts

VERSIONS = ("1.30.14", "1.31.0", "1.33.13", "1.34.4", "1.35.4", "1.36.3", "1.37.2")


@pytest.mark.parametrize("version", VERSIONS)
def test_gates_are_set_to_what_they_are_not_by_default(version: str) -> None:
    contestant = Contestant(version, "iptables", "other gates")
    config = yaml.safe_load(settings(contestant, Path("kubeconfig")))
    default = proxy_facts({**config, "featureGates": {}}, f"v{version}")
    other = proxy_facts(config, f"v{version}")
    differing = {name for name in GATES if default.gate(name) is not other.gate(name)}
    assert differing == set(gates(version))


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_version_does_not_know_is_left_out(version: str) -> None:
    names = configs("iptables", version)
    assert set(names) <= set(CONFIGS["iptables"])
    assert ("primary node ports" in names) is (version != "1.30.14")
    assert ("other gates" in names) is bool(gates(version))
