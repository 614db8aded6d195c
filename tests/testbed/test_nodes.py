from pathlib import Path

import pytest

from testbed import nodes
from testbed.commands import Ended, TestbedError
from testbed.layout import SUBNETS, Layout
from testbed.nodes import Mount
from testbed.state import SOURCE, State


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(nodes, "run_here", lambda *_, **__: "".join(f"{x}\n" for x in lines))
    return lines


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []

    def attempt(argv: list[str], **_: object) -> Ended:
        calls.append(argv)
        return Ended(0, "", "")

    monkeypatch.setattr(nodes, "attempt", attempt)
    return calls


def test_a_cluster_of_another_folder_is_not_touched(tmp_path: Path, said: list[str]) -> None:
    said[:] = [str(tmp_path), "/somebody/else"]
    with pytest.raises(TestbedError, match="test cluster of /somebody/else is there"):
        nodes.refuse_foreign(State(tmp_path))


def test_ones_own_cluster_is_not_refused(tmp_path: Path, said: list[str]) -> None:
    said[:] = [str(tmp_path), str(tmp_path)]
    nodes.refuse_foreign(State(tmp_path))


def test_a_container_is_entered_without_a_shell(asked: list[list[str]]) -> None:
    nodes.run("wc-w1", ["echo", "$(id)"])
    assert asked == [
        ["docker", "exec", "--interactive", "--user", "root", "wc-w1", "echo", "$(id)"]
    ]


def test_what_a_shell_would_expand_is_quoted_for_the_virtual_machine(
    asked: list[list[str]],
) -> None:
    nodes.run("wc-vm", ["echo", "$(id)"])
    assert asked[0][-2:] == ["root@wc-vm", "echo '$(id)'"]


def test_a_failing_command_names_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes, "attempt", lambda *_, **__: Ended(3, "", "no such thing"))
    with pytest.raises(TestbedError, match=r"on wc-w1 `false` ended with 3: no such thing"):
        nodes.output("wc-w1", ["false"])


def test_a_node_is_given_the_mounts_of_its_network(tmp_path: Path) -> None:
    mounts = [Mount("bpf", "/sys/fs/bpf"), Mount("cgroup2", "/run/cilium/cgroupv2")]
    folder = nodes.write_node_settings(State(tmp_path), Layout(SUBNETS[0]), mounts)

    assert (folder / "mounts").read_text() == "bpf /sys/fs/bpf\ncgroup2 /run/cilium/cgroupv2\n"
    nodes.write_node_settings(State(tmp_path), Layout(SUBNETS[0]))
    assert (folder / "mounts").read_text() == ""


def test_process_1_mounts_them_before_containerd_starts() -> None:
    script = (SOURCE / "node" / "init").read_text()
    calls = script.partition("\nmount --make-rshared /\n")[2].split("\n")

    assert calls.index("further_mounts") < calls.index("containerd_forever &")
