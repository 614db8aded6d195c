import pytest
from click.testing import CliRunner

from testbed import bring_up, cli
from testbed.bring_up import Shape
from testbed.networks.pod_network import network_named
from testbed.state import Record, State

RUNNING = Record("iptables", "172.31.250.0/24", vm=False)


@pytest.mark.parametrize(
    ("proxy_mode", "dual_stack", "network", "same"),
    [
        ("iptables", False, "flannel", True),
        ("nftables", False, "flannel", False),
        ("iptables", True, "flannel", False),
        ("iptables", False, "kind", False),
    ],
)
def test_a_cluster_of_another_shape_is_another_one(
    proxy_mode: str, dual_stack: bool, network: str, same: bool
) -> None:
    shape = Shape(proxy_mode, dual_stack, network_named(network))

    assert shape.is_that_of(RUNNING) is same


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Shape, bool]]:
    asked: list[tuple[Shape, bool]] = []

    def up(_here: State, shape: Shape, with_vm: bool) -> None:
        asked.append((shape, with_vm))

    monkeypatch.setattr(bring_up, "up", up)
    return asked


def test_the_network_is_flannel_unless_another_is_asked_for(
    started: list[tuple[Shape, bool]],
) -> None:
    for words in (["up"], ["up", "--network", "kind"]):
        assert CliRunner().invoke(cli.main, words).exit_code == 0

    assert [shape.network.name for shape, _ in started] == ["flannel", "kind"]


@pytest.mark.parametrize("network", ["kind", "kube-router", "flannel-host-gw"])
def test_the_virtual_machine_is_refused_where_it_was_never_tried(
    network: str, started: list[tuple[Shape, bool]]
) -> None:
    result = CliRunner().invoke(cli.main, ["up", "--network", network, "--vm"])

    assert result.exit_code == 2
    assert f"has no part in the network {network}" in result.output
    assert not started
