"""Options of the test cluster that exclude each other: nothing is started then."""

import pytest
from click.testing import CliRunner

from testbed import bring_up, cli
from testbed.bring_up import Shape


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Shape]:
    shapes: list[Shape] = []
    monkeypatch.setattr(bring_up, "up", lambda _here, shape, _vm: shapes.append(shape))
    return shapes


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--network", "cilium", "--proxy-mode", "nftables"], "cilium has no kube-proxy"),
        (["--network", "cilium", "--vm"], "no part in the network cilium"),
        (["--layout", "k3s", "--dual-stack"], "the layout k3s has one IP family"),
        (["--vm", "--dual-stack"], "the virtual machine has one IP family"),
    ],
)
def test_what_cannot_be_is_refused(options: list[str], why: str, started: list[Shape]) -> None:
    ended = CliRunner().invoke(cli.main, ["up", *options])

    assert ended.exit_code == 2
    assert why in " ".join(ended.output.split())
    assert not started


@pytest.mark.parametrize("mode", cli.MODES)
def test_beside_cilium_kube_proxy_has_any_mode(mode: str, started: list[Shape]) -> None:
    ended = CliRunner().invoke(
        cli.main, ["up", "--network", "cilium-kube-proxy", "--proxy-mode", mode]
    )

    assert ended.exit_code == 0, ended.output
    (shape,) = started
    assert (shape.network.name, shape.proxy_mode) == ("cilium-kube-proxy", mode)
