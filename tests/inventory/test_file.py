from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import yaml

from wirecheck.inventory.file import (
    AccessMethod,
    Inventory,
    InventoryError,
    NodeEntry,
    UnusableAccess,
    access_methods,
    missing_lines,
    read_inventory,
    refuse_unknown_thresholds,
)
from wirecheck.inventory.strict_yaml import FormerOptionWarning
from wirecheck.snapshot.index import Waiver
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.node import NodeAddress, NodeObject, NodeStatus

EXAMPLES = Path(__file__).parents[2] / "inventories"
ONE = "nodes: [{name: a, access: 'ssh://'}]\n"


def node(name: str, *addresses: tuple[str, str]) -> NodeObject:
    listed = [NodeAddress(type=kind, address=address) for kind, address in addresses]
    return NodeObject(metadata=Metadata(name=name), status=NodeStatus(addresses=listed))


def read(folder: Path, text: str) -> Inventory:
    path = folder / "inventory.yaml"
    path.write_text(text)
    return read_inventory(path)


def access(uri: str, name: str = "w1", port: int | None = None) -> str:
    entry = NodeEntry(name="*", access=uri, port=port)
    found = access_methods(Inventory([entry]), [node(name, ("InternalIP", "10.1.0.1"))])[name]
    assert isinstance(found, AccessMethod)
    return found.uri


def test_everything_that_can_be_written_is_read(tmp_path: Path) -> None:
    inventory = read(
        tmp_path,
        """
        kubeconfig: files/kubeconfig
        context: prod
        nodes:
          - name: "gpu-*"
            access: ssh://ops@{address}
            port: 2222
            ssh_config: ssh_config
            identity_file: /keys/id
            sudo: yes
        dns: {rate: 50, tries: 2, timeout: 1.5}
        limits: {node: 30, total: 300, workers: 8}
        rounds: {intervals: [5]}
        thresholds: {conntrack.use_warn: 75}
        waivers:
          - {check: dns.*, where: gpu-*, reason: being replaced, owner: net, until: 2027-01-31}
        """,
    )
    assert inventory.kubeconfig == str(tmp_path / "files/kubeconfig")
    assert inventory.nodes == [
        NodeEntry(
            "gpu-*", "ssh://ops@{address}", 2222, str(tmp_path / "ssh_config"), "/keys/id", True
        )
    ]
    assert (inventory.dns.rate, inventory.dns.tries, inventory.dns.timeout) == (50, 2, 1.5)
    assert (inventory.limits.node, inventory.limits.total, inventory.limits.workers) == (30, 300, 8)
    assert inventory.rounds.intervals == (5,)
    assert inventory.thresholds == {"conntrack.use_warn": 75}
    assert inventory.waivers == [Waiver("dns.*", "gpu-*", "being replaced", "net", "2027-01-31")]


def test_what_is_left_out_has_its_default(tmp_path: Path) -> None:
    inventory = read(tmp_path, ONE)
    assert inventory == Inventory([NodeEntry("a", "ssh://")])
    assert inventory.rounds.intervals == (10, 30)


def test_a_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ops")
    assert read(tmp_path, ONE + "kubeconfig: ~/.kube/config").kubeconfig == "/home/ops/.kube/config"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty. Add options, such as"),
        ("# only a comment", "is empty"),
        ("nodes: [", "line 1: this is not YAML"),
        ("nodes:\n\t- x", "line 2: this is not YAML"),
        ("a: \x00", "is not YAML"),
        ("- a", "must be a mapping of options"),
        ("context: prod", "has no `nodes`"),
        ("nodes: []", "has no `nodes`"),
        ("nodes: wc-w1", "nodes cannot be used: expected a list, got a text"),
        (ONE + "nods: []", r"line 2: the file has no option `nods`; did you mean `nodes`\?"),
        (ONE + "zzz: 1", "no option `zzz`; it can have nodes, ansible, kubeconfig"),
        (
            "nodes:\n- name: a\n  access: 'ssh://'\n  prt: 1",
            r"line 4: an entry .*did you mean `port`\?",
        ),
        (ONE + "dns:\n  rat: 3", r"line 3: `dns` has no option `rat`; did you mean `rate`\?"),
        (ONE + "waivers: [{chek: a}]", "an entry of `waivers` has no option `chek`"),
        (ONE + ONE, "line 2: the file has `nodes` twice"),
        ("nodes: [{name: a}]", r"nodes\[0\] cannot be used: missing required field `access`"),
        (ONE + "dns: {rate: 0}", "dns.rate cannot be used: expected a number > 0"),
        (ONE + "dns: {rate: fast}", "dns.rate cannot be used: expected a number, got a text"),
        (ONE + "limits: {workers: 0.5}", "limits.workers cannot be used: expected a whole number"),
        (ONE + "thresholds: {a: b}", "expected a number, got a text"),
        ("nodes: [{name: a, access: 'telnet://x'}]", "is not one of docker://"),
        ("nodes: [{name: a, access: 'wc-w1'}]", "is not one of docker://"),
        ("nodes: [{name: a, access: 'ssh://{host}'}]", "unknown placeholder {host}; use {name}"),
        ("nodes: [{name: a, access: 'ssh://u:hunter2@h'}]", "`ssh://u:…@h`, contains a password"),
        ("nodes: [{name: a, access: 'ssh://u:p:q@r/s@h'}]", "`ssh://u:…@h`, contains a password"),
        ("nodes: [{name: a, access: 'local://x'}]", "local:// is this machine"),
        (
            "nodes: [{name: a, access: 'kubectl://x'}]",
            "wirecheck finds the agent of the node itself",
        ),
        (ONE + "agent: {namespace: A B}", "agent.namespace cannot be used"),
        (
            ONE + "waivers: [{check: a, where: b, reason: c, owner: d, until: soon}]",
            "the waiver of a has `until: soon`, which is not a date",
        ),
        ("nodes: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_the_place(
    tmp_path: Path, text: str, sentence: str
) -> None:
    with pytest.raises(InventoryError, match=sentence) as caught:
        read(tmp_path, text)
    assert str(tmp_path / "inventory.yaml") in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_inventory_is_named(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=r"absent\.yaml cannot be read: No such file"):
        read_inventory(tmp_path / "absent.yaml")


def test_the_first_entry_that_matches_is_the_way_in() -> None:
    inventory = Inventory(
        [
            NodeEntry("wc-vm", "ssh://root@{address}", ssh_config="/c", sudo=True),
            NodeEntry("wc-*", "docker://"),
        ]
    )
    nodes = [node("wc-vm", ("Hostname", "wc-vm"), ("InternalIP", "10.1.0.9")), node("wc-w1")]
    assert access_methods(inventory, [*nodes, node("other")]) == {
        "wc-vm": AccessMethod(
            "wc-vm", "ssh://root@10.1.0.9", "10.1.0.9", ssh_config="/c", sudo=True
        ),
        "wc-w1": AccessMethod("wc-w1", "docker://wc-w1", "wc-w1"),
        "other": None,
    }


FORMER = """\
nodes:
  - {name: a, via: 'ssh://'}
  - {name: b, via: 'docker://'}
looks: {intervals: [7]}
"""


def test_former_names_of_options_are_read_with_one_warning_each(tmp_path: Path) -> None:
    with pytest.warns(FormerOptionWarning) as warned:
        inventory = read(tmp_path, FORMER)

    assert [each.access for each in inventory.nodes] == ["ssh://", "docker://"]
    assert inventory.rounds.intervals == (7,)
    path = tmp_path / "inventory.yaml"
    assert [str(each.message) for each in warned] == [
        f"{path}, line 2: the option `via` is now called `access`; rename it in the file.",
        f"{path}, line 4: the option `looks` is now called `rounds`; rename it in the file.",
    ]


def test_an_option_by_both_of_its_names_is_given_twice(tmp_path: Path) -> None:
    twice = "nodes: [{name: a, via: 'ssh://', access: 'docker://'}]"
    with (
        pytest.warns(FormerOptionWarning),
        pytest.raises(InventoryError, match="has `access` twice"),
    ):
        read(tmp_path, twice)


@pytest.mark.parametrize(
    ("uri", "filled"),
    [
        ("docker://", "docker://w1"),
        ("docker://kind-{name}", "docker://kind-w1"),
        ("podman://{name}", "podman://w1"),
        ("local://", "local://"),
        ("kubectl://", "kubectl://w1"),
        ("ssh://", "ssh://10.1.0.1"),
        ("ssh://ops@", "ssh://ops@10.1.0.1"),
        ("ssh://ops@{name}.example.org", "ssh://ops@w1.example.org"),
        ("ssh://ops@{address}:2222", "ssh://ops@10.1.0.1:2222"),
        ("ssh://ops@jump", "ssh://ops@jump"),
    ],
)
def test_place_holders_and_omitted_hosts_are_filled_in(uri: str, filled: str) -> None:
    assert access(uri) == filled


def test_an_ipv6_address_gets_its_brackets() -> None:
    entry = NodeEntry("*", "ssh://ops@", port=22)
    found = access_methods(Inventory([entry]), [node("w1", ("InternalIP", "fd00::1"))])["w1"]
    assert isinstance(found, AccessMethod)
    assert (found.uri, found.address) == ("ssh://ops@[fd00::1]:22", "fd00::1")


def test_a_port_is_added() -> None:
    assert access("ssh://ops@", port=2222) == "ssh://ops@10.1.0.1:2222"


@pytest.mark.parametrize(
    "uri",
    [
        "ssh://-oProxyCommand=x",
        "ssh://-l@host",
        "ssh://a b",
        "ssh://a;b",
        "ssh://$(id)",
        "ssh://host/path",
        "ssh://host?ssh_config=x",
        "ssh://fd00::1",
        "docker://--privileged",
        "ssh://ho\nst",
        "ssh://host\r\n",
    ],
)
def test_a_host_that_cannot_be_one_is_refused(uri: str) -> None:
    found = access_methods(Inventory([NodeEntry("*", uri)]), [node("w1")])["w1"]
    assert isinstance(found, UnusableAccess)
    assert "access method of node w1" in found.why
    assert "has an invalid host; correct the entry `*`" in found.why
    assert found.why.isprintable()


def test_an_address_from_the_api_is_no_text_of_a_command_and_costs_its_node_alone() -> None:
    bad, good = node("w1", ("InternalIP", "-oProxyCommand=id")), node("w2")
    found = access_methods(Inventory([NodeEntry("*", "ssh://")]), [bad, good])
    assert isinstance(found["w1"], UnusableAccess)
    assert "or the Node's addresses" in found["w1"].why
    assert found["w2"] == AccessMethod("w2", "ssh://w2", "w2")


@pytest.mark.parametrize(
    ("names", "globs"),
    [
        (["b", "a"], ["a", "b"]),
        (["wc-a", "wc-b", "wc-c", "wc-d"], ["wc-*"]),
        (["a", "b", "c", "d"], ["*"]),
    ],
)
def test_the_lines_that_are_missing_can_be_pasted(
    tmp_path: Path, names: list[str], globs: list[str]
) -> None:
    inventory = read(tmp_path, missing_lines(names))
    assert [entry.name for entry in inventory.nodes] == globs
    found = access_methods(inventory, [node(name) for name in names])
    assert all(isinstance(each, AccessMethod) for each in found.values())


def test_a_threshold_that_no_check_has_is_refused() -> None:
    inventory = Inventory(thresholds={"conntrack.use_wran": 75})
    with pytest.raises(InventoryError, match=r"did you mean `conntrack\.use_warn`"):
        refuse_unknown_thresholds(inventory, ["conntrack.use_warn"])
    refuse_unknown_thresholds(inventory, ["conntrack.use_wran"])


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_example_can_be_read(path: Path) -> None:
    assert read_inventory(path).nodes


def test_the_example_of_the_test_cluster_reaches_its_nodes() -> None:
    inventory = read_inventory(EXAMPLES / "testbed.yaml")
    nodes = [node("wc-cp"), node("wc-w1"), node("wc-vm", ("InternalIP", "10.1.0.9"))]
    methods = access_methods(inventory, nodes)
    found = {name: each.uri for name, each in methods.items() if isinstance(each, AccessMethod)}
    assert found["wc-cp"] == "docker://wc-cp"
    assert found["wc-vm"].startswith("ssh://")


def test_the_documentation_shows_every_option(tmp_path: Path) -> None:
    _, _, rest = (EXAMPLES.parent / "docs" / "inventory.md").read_text().partition("```yaml\n")
    text, _, _ = rest.partition("```")
    assert read(tmp_path, text).waivers
    shown = yaml.safe_load(text)
    assert set(shown) == set(Inventory.__struct_fields__)
    assert set(shown["nodes"][0]) == set(NodeEntry.__struct_fields__)
    assert set(shown["agent"]) == set(Inventory().agent.__struct_fields__)
    for part in ("dns", "limits", "rounds"):
        defaults = getattr(Inventory(), part)
        assert msgspec.convert(shown[part], type(defaults)) == defaults
        assert set(shown[part]) == set(defaults.__struct_fields__)
