from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ended_processes import goes_away
from wirecheck.collect.on_node import commands, kernel, kube_proxy
from wirecheck.collect.on_node.deadline import Deadline
from wirecheck.collect.on_node.udp_entries import UdpEntries


def table(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    monkeypatch.setitem(commands.TABLE, "conntrack-dns", (sys.executable, "-c", code))
    monkeypatch.setattr(commands, "has", lambda _: True)


def test_a_command_that_hangs_is_ended_with_what_it_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    code = (
        "import subprocess,time;"
        f"p=subprocess.Popen(['sleep','1000']);open({str(pid)!r},'w').write(str(p.pid));"
        "time.sleep(1000)"
    )
    table(monkeypatch, code)

    record = commands.run("conntrack-dns", limit=6)

    assert record["problem"] == "time limit"
    assert "status" not in record
    assert goes_away(int(pid.read_text()))


def test_output_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    table(monkeypatch, "print('x' * 100000)")
    monkeypatch.setattr(commands, "MOST_BYTES", 1000)

    record = commands.run("conntrack-dns", limit=30)

    assert record["problem"] == "too large"
    assert "output" not in record


def test_status_and_errors_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    table(monkeypatch, "import sys;sys.stderr.write('no rights');sys.exit(4)")

    record = commands.run("conntrack-dns", limit=30)

    assert (record["status"], record["stderr"], record["output"]) == (4, "no rights", "")


def test_the_environment_is_fixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "1")
    table(monkeypatch, "import os;print(sorted(set(os.environ)-{'LC_CTYPE'}),os.environ['LC_ALL'])")

    assert commands.run("conntrack-dns", limit=30)["output"] == "['HOME', 'LC_ALL', 'PATH'] C\n"


def test_a_missing_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(commands.TABLE, "conntrack-dns", ("no-such-tool",))

    assert commands.run("conntrack-dns", limit=30)["problem"] == "missing"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Tools, legacy tables and outputs of a node made up; yields what is run on it."""
    node: dict[str, Any] = {"tools": set(), "legacy": [], "outputs": {}}
    monkeypatch.setattr(commands, "has", lambda tool: tool in node["tools"])
    monkeypatch.setattr(commands, "legacy_tables", lambda _="": node["legacy"])
    monkeypatch.setattr(
        commands,
        "run",
        lambda identity, _: {"status": 0, "output": node["outputs"].get(identity, "")},
    )
    return node


def ran(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    class Ample(Deadline):
        def __init__(self) -> None: ...

        def left(self) -> float:
            return 60.0

    return {name for name, each in commands.list_rules(Ample()).items() if "status" in each}


def test_plain_iptables_of_the_nft_kind(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked["tools"] = {"iptables", "iptables-save"}
    asked["outputs"] = {"iptables-version": "iptables v1.8.7 (nf_tables)\n"}

    assert {"iptables-version", "iptables-save"} <= ran(monkeypatch)


@pytest.mark.parametrize("version", ["iptables v1.8.7 (legacy)\n", "iptables v1.6.1\n"])
def test_plain_iptables_of_the_legacy_kind_does_not_load_its_tables(
    asked: Any, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    asked["tools"] = {"iptables", "iptables-save"}
    asked["outputs"] = {"iptables-version": version}

    assert "iptables-save" not in ran(monkeypatch)
    asked["legacy"] = ["nat"]
    assert "iptables-save" in ran(monkeypatch)


def test_both_variants_where_legacy_tables_are_loaded(
    asked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked["tools"] = {"iptables-nft-save", "iptables-legacy-save"}
    asked["legacy"] = ["nat", "filter"]

    assert {"iptables-nft-save", "iptables-legacy-save"} <= ran(monkeypatch)
    assert not {"iptables-save", "iptables-version"} & ran(monkeypatch)


@pytest.mark.parametrize(
    ("files", "is_run"), [((), False), (("IP_SET",), True), (("IP_VS",), True)]
)
def test_ipsets_are_listed_only_where_the_kernel_has_them(
    asked: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    files: tuple[str, ...],
    is_run: bool,
) -> None:
    """Otherwise `ipset` would load its module. Calico uses sets without IPVS."""
    asked["tools"] = {"ipset"}
    for name in ("IP_SET", "IP_VS"):
        path = tmp_path / name
        if name in files:
            path.touch()
        monkeypatch.setattr(commands, name, str(path))

    assert ("ipset-save" in ran(monkeypatch)) is is_run


def test_sets_that_are_not_kube_proxys_are_worth_less_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(commands, "IP_VS", str(tmp_path / "ip_vs"))
    assert commands._most_seconds("ipset-save") == commands.SECONDS_OF_SETS
    assert commands._most_seconds("iptables-save") > commands.SECONDS_OF_SETS
    (tmp_path / "ip_vs").touch()
    assert commands._most_seconds("ipset-save") > commands.SECONDS_OF_SETS


def test_sets_have_a_limit_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(commands.TABLE, "ipset-save", (sys.executable, "-c", "print('x' * 9000)"))
    monkeypatch.setattr(commands, "has", lambda _: True)
    monkeypatch.setattr(commands, "MOST_SET_BYTES", 1000)

    assert commands.run("ipset-save", limit=30)["problem"] == "too large"


def test_connections_are_kept_by_their_original_destination() -> None:
    lines = [
        "udp 17 29 src=10.1.0.2 dst=10.96.0.10 sport=4 dport=53 src=10.1.0.9 dst=10.1.0.2 x\n",
        "udp 17 29 src=10.1.0.2 dst=8.8.8.8 sport=4 dport=53 src=8.8.8.8 dst=10.96.0.10 x\n",
        "udp 17 29 src=fd00::2 dst=fd00:0:0::a sport=4 dport=53 src=fd00::9 dst=fd00::2 x\n",
    ]

    kept = UdpEntries(["10.96.0.10", "fd00::a"]).kept("".join(lines).encode())
    assert kept.decode() == lines[0] + lines[2]


def udp_entry(client: str, to: str, backend: str, port: int = 514) -> bytes:
    text = (
        f"udp 17 29 src={client} dst={to} sport=4000 dport={port} [UNREPLIED] "
        f"src={backend} dst={client} sport=5514 dport=4000 mark=0 use=1\n"
    )
    return text.encode()


def test_translated_entries_are_kept_and_of_many_clients_a_few() -> None:
    many = [udp_entry(f"10.1.{i // 250}.{i % 250}", "10.96.0.77", "10.1.0.9") for i in range(5000)]
    other = udp_entry("10.1.0.2", "10.96.0.77", "10.1.0.8")
    direct = udp_entry("10.1.0.2", "192.0.2.9", "192.0.2.9").replace(b"sport=5514", b"sport=514")

    kept = UdpEntries(["10.96.0.10"]).kept(b"".join([*many, direct, other]))

    assert kept.splitlines(True) == [*many[:8], other]


def test_one_dns_entry_of_each_client_is_kept() -> None:
    first, second = (udp_entry(each, "10.96.0.10", "10.1.0.9", 53) for each in ("10.1.0.2", "::1"))

    entries = UdpEntries(["10.96.0.10"])
    assert entries.kept(first + first + second) == first + second
    assert entries.kept(first.replace(b"4000", b"4001")) == b""


def test_entries_may_arrive_in_any_pieces() -> None:
    text = udp_entry("10.1.0.2", "10.96.0.10", "10.1.0.9") + b"udp 17 29 src=10.1"
    entries = UdpEntries(["10.96.0.10"])

    kept = b"".join(entries.kept(text[i : i + 7]) for i in range(0, len(text), 7))
    assert kept + entries.last() == text


def test_only_entries_that_are_kept_count_for_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = "src=10.1.0.2 dst=192.0.2.9 sport=1 dport=2 src=192.0.2.9 dst=10.1.0.2 sport=2 dport=1"
    table(monkeypatch, f"for i in range(3000): print('udp 17 29 {direct}')")
    monkeypatch.setattr(commands, "MOST_UDP_BYTES", 1000)
    assert commands.run("conntrack-dns", 30, entries=UdpEntries([]))["output"] == ""

    to_dns = direct.replace("10.1.0.2 dst", "10.1.0.%d dst", 1)
    table(monkeypatch, f"for i in range(3000): print('udp 17 29 {to_dns}' % (i % 250))")
    dns = UdpEntries(["192.0.2.9"])
    assert commands.run("conntrack-dns", 30, entries=dns)["problem"] == "too large"


def test_conntrack_counters_are_summed_over_cpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "nf_conntrack"
    file.write_text("entries  drop early_drop\n0000000a  00000001 00000010\n0000000a 00000002 0\n")
    monkeypatch.setattr(kernel, "CONNTRACK_STATISTICS", str(file))

    assert kernel.conntrack_sample()["counters"] == {"entries": 10, "drop": 3, "early_drop": 16}


def test_the_kernel_log(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [
        ("4,1,5000000,-", "nf_conntrack: nf_conntrack: table full, dropping packet"),
        ("6,2,6000000,-", "eth0: link becomes ready"),
        ("4,3,7000000,-", "nf_conntrack: table full in netns 4026532000, dropping packet"),
        ("4,4,8000000,-", "neighbour: arp_cache: neighbor table overflow!"),
    ]
    monkeypatch.setattr(kernel, "_records", lambda _: records)

    lines = kernel.read_log("/dev/null")

    assert [line["pattern"] for line in lines] == [
        "conntrack table full",
        "conntrack table full",
        "neighbour table overflow",
    ]
    assert round(lines[1]["time"] - lines[0]["time"], 3) == 2.0


def test_a_log_whose_device_is_shut_is_read_by_a_system_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def shut(*_: object) -> int:
        raise PermissionError(1, "Operation not permitted")

    text = (
        "<4>[    5.000000] nf_conntrack: nf_conntrack: table full, dropping packet\n"
        "<6>[    6.000000][  T12] eth0: link becomes ready\n"
        "<4>[    7.250000][  T12] neighbour: arp_cache: neighbor table overflow!\n"
        "<4>nf_conntrack: table full, of a kernel that notes no time\n"
    )
    monkeypatch.setattr(kernel.os, "open", shut)
    monkeypatch.setattr(kernel, "_log_by_system_call", lambda: text)

    lines = kernel.read_log()

    assert [line["pattern"] for line in lines] == [
        "conntrack table full",
        "neighbour table overflow",
    ]
    assert round(lines[1]["time"] - lines[0]["time"], 3) == 2.25


def test_a_tool_that_the_node_lacks_is_lent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tool = tmp_path / "conntrack"
    tool.write_text("#!/bin/sh\necho lent\n")
    tool.chmod(0o755)
    monkeypatch.setattr(commands, "PATH", "/nowhere")
    monkeypatch.setitem(commands.ENVIRONMENT, "PATH", str(tmp_path))
    assert commands.run("conntrack-dns", 5) == {
        "argv": list(commands.TABLE["conntrack-dns"]),
        "problem": "missing",
    }

    monkeypatch.setattr(commands, "LENT", {"conntrack"})
    monkeypatch.setattr(commands, "LENDER", lambda: None)
    record = commands.run("conntrack-dns", 5)

    assert (record["output"], record["lent"]) == ("lent\n", True)


def test_metrics_and_configuration_are_reduced() -> None:
    metrics = (
        "# HELP x\nkubeproxy_sync_proxy_rules_iptables_restore_failures_total 3\n"
        'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="1"} 3\n'
        'rest_client_requests_total{host="10.0.0.1:6443"} 4\n'
    )
    configuration = (
        '{"kubeproxy.config.k8s.io": {"Mode": "ipvs", "mode": "ipvs",'
        ' "ClientConnection": {"Kubeconfig": "/secret"}}}'
    )

    assert kube_proxy.sync_metrics(metrics).split() == [
        "kubeproxy_sync_proxy_rules_iptables_restore_failures_total",
        "3",
    ]
    assert "secret" not in kube_proxy.allowed_configuration(configuration)
    assert "ipvs" in kube_proxy.allowed_configuration(configuration)
    assert kube_proxy.allowed_configuration("404 page not found") == ""


def test_a_node_without_any_iptables_whose_kernel_has_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "PATH", "/nowhere")
    monkeypatch.setattr(commands, "bundled", lambda _: None)
    monkeypatch.setattr(commands, "legacy_tables", lambda _="": [])
    monkeypatch.setattr(commands, "table_names", lambda: {"output": "table ip nat\n"})
    monkeypatch.setattr(commands, "can_be_there", lambda _: True)

    records = commands.list_rules(Ample())
    assert records["iptables-save"]["problem"] == "missing"
    assert records["ip6tables-save"]["problem"] == "not asked: the node has no iptables rules"

    monkeypatch.setattr(commands, "table_names", lambda: {"output": "table inet firewalld\n"})
    monkeypatch.setattr(commands, "legacy_tables", lambda _="": ["nat"])
    for empty, problem in ((True, "not asked: the node has no iptables rules"), (False, "missing")):
        monkeypatch.setattr(commands, "are_empty", lambda *_, empty=empty: empty)
        assert commands.list_rules(Ample())["iptables-save"]["problem"] == problem


class Ample(Deadline):
    def __init__(self) -> None: ...

    def left(self) -> float:
        return 60.0


def save(version: str) -> str:
    head = f"# Generated by iptables-nft-save v{version} on Mon Nov 23 02:36:05 2026"
    return f"{head}\n*nat\nCOMMIT\n"


@pytest.mark.parametrize(
    ("own", "lent", "used"),
    [
        ("1.8.7", {"iptables-nft-save"}, "1.8.11"),
        ("1.8.4 (nf_tables)", {"iptables-nft-save"}, "1.8.11"),
        ("1.8.8 (nf_tables)", {"iptables-nft-save"}, "1.8.8"),
        ("1.8.10", {"iptables-nft-save"}, "1.8.10"),
        ("1.8.7", set(), "1.8.7"),
    ],
)
def test_an_agent_lends_its_iptables_where_the_nodes_loses_conditions(
    monkeypatch: pytest.MonkeyPatch, own: str, lent: set[str], used: str
) -> None:
    def run(
        identity: str, _: float, *, lent: bool = False, table: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        argv = list(commands.TABLE[identity])
        output = save("1.8.11" if lent else own) if identity == "iptables-nft-save" else ""
        return {"argv": argv, "status": 0, "output": output}

    monkeypatch.setattr(commands, "has", lambda tool: tool == "iptables-nft-save")
    monkeypatch.setattr(commands, "legacy_tables", lambda _="": [])
    monkeypatch.setattr(commands, "can_be_there", lambda _: True)
    monkeypatch.setattr(commands, "LENT", lent)
    monkeypatch.setattr(commands, "run", run)

    assert f" v{used}" in commands.list_rules(Ample())["iptables-nft-save"]["output"]


@pytest.mark.parametrize(("version", "listed"), [("1.8.7", ["filter", "nat"]), ("1.8.8", [])])
def test_nft_lists_the_tables_of_iptables_where_its_own_tool_loses_conditions(
    monkeypatch: pytest.MonkeyPatch, version: str, listed: list[str]
) -> None:
    names = "table ip nat\ntable ip filter\ntable ip6 nat\ntable inet admin\n"

    def run(
        identity: str, limit: float, *, table: tuple[str, ...] = (), **_: object
    ) -> dict[str, Any]:
        output = save(version) if identity == "iptables-nft-save" else ""
        assert limit <= 20 or not table
        return {"argv": list(commands.TABLE[identity]), "status": 0, "output": output}

    monkeypatch.setattr(commands, "has", lambda tool: tool in ("iptables-nft-save", "nft"))
    monkeypatch.setattr(commands, "legacy_tables", lambda _="": [])
    monkeypatch.setattr(commands, "can_be_there", lambda _: True)
    monkeypatch.setattr(commands, "table_names", lambda: {"argv": [], "output": names})
    monkeypatch.setattr(commands, "run", run)

    found = [each for each in commands.list_rules(Ample()) if each.startswith("nft-table ")]
    assert sorted(found) == ["nft-table inet admin", *(f"nft-table ip {each}" for each in listed)]


@pytest.mark.parametrize(
    ("tool", "version", "loses"),
    [
        ("iptables-save", "iptables v1.8.7 (nf_tables)", True),
        ("iptables-save", "iptables v1.8.7 (legacy)", False),
        ("iptables-legacy-save", "", False),
        ("ip6tables-nft-save", "", True),
    ],
)
def test_only_the_nft_variant_loses_conditions(tool: str, version: str, *, loses: bool) -> None:
    record = {"argv": [tool], "output": save("1.8.7")}

    assert commands.loses_conditions(record, {"iptables-version": {"output": version}}) is loses
    assert not commands.loses_conditions({"argv": [tool], "problem": "missing"}, {})


def test_a_kernel_that_does_not_track_connections_is_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(commands, "CONNTRACK", ("/nowhere",))

    records = commands.list_connections(["10.96.0.10", "fd00::a"], Ample())
    assert {each["problem"] for each in records.values()} == {
        "not asked: the kernel does not track connections"
    }


@pytest.mark.parametrize(
    ("tools", "version", "empty", "runs"),
    [
        ({"iptables-nft-save"}, "", True, False),
        ({"iptables-nft-save"}, "", False, True),
        ({"iptables-nft-save", "iptables-legacy-save"}, "", True, True),
        ({"iptables", "iptables-save"}, "iptables v1.8.10 (nf_tables)", True, False),
        ({"iptables", "iptables-save"}, "iptables v1.8.10 (nf_tables)", False, True),
        ({"iptables", "iptables-save"}, "iptables v1.8.7 (legacy)", False, False),
    ],
)
def test_legacy_tables_without_a_tool_that_lists_them(
    asked: Any,
    monkeypatch: pytest.MonkeyPatch,
    tools: set[str],
    version: str,
    *,
    empty: bool,
    runs: bool,
) -> None:
    asked["tools"], asked["legacy"] = tools, ["nat"]
    asked["outputs"] = {"iptables-version": version}
    monkeypatch.setattr(commands, "are_empty", lambda *_: empty)

    # Where the tool is missing, running it says so.
    assert ("iptables-legacy-save" in ran(monkeypatch)) is runs


def test_what_a_process_writes_into_the_kernels_log_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = "NETDEV WATCHDOG: eth0 (e1000): transmit queue 0 timed out"
    records = [
        ("4,1,5000000,-", "eth0: link becomes ready"),
        ("12,2,6000000,-", text),
        ("30,3,6500000,-", text),
        ("4,4,7000000,-", text),
    ]
    monkeypatch.setattr(kernel, "_records", lambda _: records)

    (line,) = kernel.read_log("/dev/null")
    start = kernel.log_start("/dev/null")

    assert start is not None
    assert round(line["time"] - start, 1) == 2.0


def test_an_empty_log_has_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "_records", lambda _: [])

    assert kernel.log_start("/dev/null") is None
