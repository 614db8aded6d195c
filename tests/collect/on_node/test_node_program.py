"""The program as a whole, on nodes made of namespaces."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import dns.message
import msgspec
import pytest

from tests.collect.on_node.conftest import QUESTION, FakeNode, plan
from tests.needs import python
from wirecheck.collect.document_frame import unframed
from wirecheck.collect.node_program import command_line
from wirecheck.collect.on_node.visit import NOT_ROOT
from wirecheck.collect.plan.dns_questions import Ask
from wirecheck.collect.plan.visit_plan import BlockPlan
from wirecheck.snapshot import blocks
from wirecheck.snapshot.node_document import NodeDocument

MakeNode = Callable[..., FakeNode]


def test_reads_both_ends_of_a_pods_wire(fake_node: MakeNode) -> None:
    node = fake_node(web={}, cache={})

    seen = node.visit(plan())

    assert seen.document.problems == []
    assert seen.document.namespaces[0].inode == node.host
    web = seen.netns("web")
    (inner,) = [link for link in web.links if link.name == "eth0"]
    (outer,) = [
        link
        for link in seen.netns("").links
        if link.index == inner.peer_index and link.peer_nsid == web.nsid
    ]
    assert outer.peer_index == inner.index
    assert (inner.kind, outer.kind, outer.port_kind) == ("veth", "veth", "bridge")
    assert outer.port_state == 3
    assert {"UP", "LOWER_UP"} <= set(inner.flags)
    bridge = {link.name: link for link in seen.netns("").links}["cni0"]
    assert (bridge.kind, outer.master) == ("bridge", bridge.index)
    assert [a.address for a in web.addresses if a.index == inner.index and a.scope == "global"] == [
        "10.244.0.2"
    ]
    (default,) = [route for route in web.routes if route.destination == "default"]
    assert (default.gateway, default.index) == ("10.244.0.1", inner.index)
    assert {rule.priority for rule in web.rules if rule.family == 4} == {0, 32766, 32767}
    assert web.mounted == "/run/netns/web"
    assert seen.pod("web").inode == web.inode
    assert seen.pod("web").inode != seen.pod("cache").inode


@pytest.mark.needs("bridge")
def test_agrees_with_the_ip_tool(fake_node: MakeNode) -> None:
    node = fake_node(web={})
    node.run("ip", "link", "add", "vx", "type", "vxlan", "id", "7", "dstport", "8472",
             "local", "10.244.0.1", "dev", "cni0", "nolearning")  # fmt: skip
    node.run("bridge", "fdb", "append", "02:00:00:00:00:09", "dev", "vx", "dst", "10.244.0.9")
    node.run("ip", "neighbour", "add", "10.244.0.9", "lladdr", "02:00:00:00:00:09",
             "dev", "cni0", "nud", "permanent")  # fmt: skip
    node.run("ip", "route", "add", "10.9.0.0/16", "nexthop", "via", "10.244.0.8", "weight", "2",
             "nexthop", "via", "10.244.0.9")  # fmt: skip
    node.run("ip", "route", "add", "blackhole", "10.8.0.0/16", "metric", "5")
    node.run("ip", "rule", "add", "fwmark", "0x2/0xf", "lookup", "77", "priority", "100",
             "protocol", "boot")  # fmt: skip

    host = node.visit(plan()).netns("")

    for theirs in json.loads(node.run("ip", "-d", "-j", "link")):
        ours = {link.index: link for link in host.links}[theirs["ifindex"]]
        assert ours.name == theirs["ifname"]
        assert ours.mtu == theirs["mtu"]
        assert ours.operstate == theirs["operstate"]
        assert set(ours.flags) == set(theirs["flags"]) - {"NO-CARRIER"}
        assert ours.kind == theirs.get("linkinfo", {}).get("info_kind", "")
        assert ours.mac == theirs["address"]
    vxlan = {link.name: link for link in host.links}["vx"]
    assert (vxlan.vxlan_id, vxlan.vxlan_port, vxlan.vxlan_local) == (7, 8472, "10.244.0.1")
    (fdb,) = [each for each in host.fdb if each.destination == "10.244.0.9"]
    assert (fdb.index, fdb.mac, fdb.state) == (vxlan.index, "02:00:00:00:00:09", "permanent")
    (neighbour,) = [each for each in host.neighbours if each.address == "10.244.0.9"]
    assert (neighbour.mac, neighbour.state) == ("02:00:00:00:00:09", "PERMANENT")
    routes = {route.destination: route for route in host.routes}
    assert [(hop["gateway"], hop["weight"]) for hop in routes["10.9.0.0/16"].hops] == [
        ("10.244.0.8", "2"),
        ("10.244.0.9", "1"),
    ]
    assert (routes["10.8.0.0/16"].type, routes["10.8.0.0/16"].metric) == ("blackhole", 5)
    theirs_routes = {
        each["dst"] for each in json.loads(node.run("ip", "-j", "route")) if "dst" in each
    }
    assert {
        r.destination.removesuffix("/32") for r in host.routes if r.family == 4
    } == theirs_routes
    (rule,) = [each for each in host.rules if each.priority == 100]
    assert (rule.mark, rule.table, rule.protocol) == ("0x2/0xf", 77, 3)
    usual = next(each for each in host.rules if each.priority == 0)
    assert (usual.table, usual.protocol) == (255, 2)


def test_reads_what_routing_rules_select(fake_node: MakeNode) -> None:
    node = fake_node(web={})
    for number, words in enumerate(
        [
            "lookup main suppress_prefixlength 0",
            "goto 32766",
            "uidrange 1000-1001 lookup 77",
            "ipproto tcp dport 443 lookup 77",
            "not from 10.244.0.0/24 fwmark 0x1 lookup 77",
            "to 10.96.0.0/12 prohibit",
            "tos 0x10 lookup 77",
        ],
        start=101,
    ):
        node.run("ip", "rule", "add", "priority", str(number), *words.split())

    rules = {each.priority: each for each in node.visit(plan()).netns("").rules if each.family == 4}

    assert (rules[101].table, rules[101].suppress_prefix) == (254, 0)
    assert (rules[102].action, rules[102].goto) == ("goto", 32766)
    assert rules[103].other_selectors == ["uidrange"]
    assert rules[104].other_selectors == ["ipproto", "dport"]
    inverted = rules[105].action, rules[105].source, rules[105].mark
    assert inverted == ("lookup (not)", "10.244.0.0/24", "0x1")
    assert (rules[106].action, rules[106].destination) == ("prohibit", "10.96.0.0/12")
    assert rules[107].other_selectors == ["tos"]
    assert rules[0].other_selectors == []
    assert (rules[0].suppress_prefix, rules[0].goto) == (None, None)


def test_asks_dns_from_every_pod_and_from_the_node(fake_node: MakeNode) -> None:
    seen = fake_node(web={}, cache={}).visit(plan())

    for name in ("web", "cache", ""):
        for transport in ("udp", "tcp"):
            (answered,) = seen.tries(name, transport)
            message = dns.message.from_wire(base64.b64decode(answered.answer))
            assert message.answer[0][0].to_text() == "10.96.0.1"


def test_asks_nothing_from_pods_that_are_left_out(fake_node: MakeNode) -> None:
    node = fake_node(web={}, helper={})
    seen = node.visit(plan(left_out=[node.uids["helper"]]))

    assert seen.tries("web", "udp")
    inode = seen.netns("helper").inode
    assert not [each for each in seen.document.probes or () if each.inode == inode]


def test_a_lost_query_is_sent_again(fake_node: MakeNode) -> None:
    seen = fake_node(web={"drop": 2}).visit(plan(pods=plan().dns.pods[:1]))

    first, second, third = seen.tries("web", "udp")

    assert (first.error, second.error) == ("timeout", "timeout")
    assert third.answer


def test_every_try_lost_is_every_try_told(fake_node: MakeNode) -> None:
    seen = fake_node(web={"drop": 1000}, cache={}).visit(plan())

    assert [each.error for each in seen.tries("web", "udp")] == ["timeout"] * 3
    assert all(each.error and not each.answer for each in seen.tries("web", "tcp"))
    assert seen.tries("cache", "udp")[0].answer


def test_says_why_a_query_did_not_leave(fake_node: MakeNode) -> None:
    seen = fake_node(cut={"wired": False}).visit(plan())

    assert {each.error for each in seen.tries("cut", "udp")} == {"unreachable"}


@pytest.mark.needs("iptables")
def test_a_refusal_is_told_from_silence(fake_node: MakeNode) -> None:
    node = fake_node(web={})
    node.run("iptables", "-I", "INPUT", "-s", "10.244.0.2", "-j", "REJECT")

    assert {each.error for each in node.visit(plan()).tries("web", "udp")} == {"refused"}


def test_a_second_family_is_asked_where_the_pod_has_it(fake_node: MakeNode) -> None:
    node = fake_node(both={"v6": True}, single={})
    asks = [Ask(QUESTION.id, server, "udp") for server in ("10.96.0.10", "fd00:96::a")]

    seen = node.visit(plan(pods=asks, node=[]))

    probed = {(each.inode, each.server): each.tries for each in seen.document.probes}
    assert probed[node.inodes["both"], "fd00:96::a"][-1].answer
    assert probed[node.inodes["single"], "10.96.0.10"][-1].answer
    assert (node.inodes["single"], "fd00:96::a") not in probed


def test_a_replica_is_asked_at_its_own_port(fake_node: MakeNode) -> None:
    asks = [Ask(QUESTION.id, "192.0.2.1", each, port=5353) for each in ("udp", "tcp")]

    seen = fake_node(web={}).visit(plan(pods=[], node=asks))

    assert [(each.port, bool(each.tries[-1].answer)) for each in seen.document.probes] == [
        (5353, True),
        (5353, True),
    ]


def test_finds_a_netns_that_no_process_is_in(fake_node: MakeNode) -> None:
    seen = fake_node(web={}, leaked={"process": False}).visit(plan())

    leaked = seen.netns("leaked")
    assert (leaked.processes, leaked.mounted) == (0, "/run/netns/leaked")
    assert leaked.nsid is not None
    assert [link.name for link in leaked.links] == ["lo", "eth0"]
    assert leaked.inode not in {probe.inode for probe in seen.document.probes}


@pytest.mark.needs("iptables")
def test_takes_rules_that_redirect_from_a_silent_pods_netns(fake_node: MakeNode) -> None:
    node = fake_node(meshed={"drop": 1000}, silent={"drop": 1000})
    node.run("ip", "netns", "exec", "meshed", "iptables-nft", "-t", "nat", "-A", "OUTPUT",
             "-p", "udp", "--dport", "53", "-j", "REDIRECT", "--to-ports", "15053")  # fmt: skip

    seen = node.visit(plan())

    assert "--to-ports 15053" in seen.netns("meshed").redirect
    assert seen.netns("silent").redirect == ""


def test_reads_each_pods_resolv_conf_in_its_own_root(fake_node: MakeNode, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("nameserver 10.96.0.10\n")

    seen = fake_node(web={"root": str(tmp_path)}).visit(plan())

    assert seen.pod("web").resolv_conf.text == "nameserver 10.96.0.10\n"


@pytest.mark.needs("iptables")
def test_lists_rules_and_leaves_the_legacy_tables_alone(fake_node: MakeNode) -> None:
    node = fake_node(web={})
    node.run("iptables-nft", "-t", "nat", "-N", "KUBE-SERVICES")

    commands = node.visit(plan()).document.commands

    assert ":KUBE-SERVICES" in commands["iptables-nft-save"].output
    assert commands["iptables-nft-save"].status == 0
    assert commands["iptables-legacy-save"].problem == "not asked: no legacy table is loaded"
    assert commands["nft-kube-proxy"].problem == "not asked: there is no table ip kube-proxy"
    assert node.run("cat", "/proc/net/ip_tables_names") == ""


@pytest.mark.needs("nft")
def test_lists_kube_proxys_own_nft_table(fake_node: MakeNode) -> None:
    node = fake_node(web={})
    node.run("nft", "add", "table", "ip", "kube-proxy")

    command = node.visit(plan()).document.commands["nft-kube-proxy"]

    assert '"name": "kube-proxy"' in command.output
    assert command.status == 0


@pytest.mark.needs("iptables", "nft")
def test_sends_rules_in_blocks_and_only_those_that_are_not_known(fake_node: MakeNode) -> None:
    node = fake_node(web={})
    node.run("iptables-nft", "-t", "nat", "-N", "KUBE-SERVICES")
    node.run("nft", "add", "table", "ip", "kube-proxy")
    asked = msgspec.structs.replace(plan(), blocks=BlockPlan(least=0))
    first = node.visit(asked).document
    named = [each for command in first.commands.values() for each in command.blocks]

    known = msgspec.structs.replace(asked, blocks=BlockPlan(0, tuple(e[:16] for e in named)))
    again = node.visit(known).document

    assert set(named) == set(first.blocks)
    rules = blocks.whole(first).commands
    assert ":KUBE-SERVICES - [0:0]\n" in rules["iptables-nft-save"].output
    assert '"name": "kube-proxy"' in rules["nft-kube-proxy"].output
    assert first.started < rules["nft-kube-proxy"].started < first.finished
    assert again.blocks == {}
    assert [each for command in again.commands.values() for each in command.blocks] == named


@pytest.mark.needs("conntrack")
def test_keeps_connections_towards_dns_only(fake_node: MakeNode) -> None:
    node = fake_node(web={})
    for destination in ("10.96.0.10", "10.96.0.77"):
        node.run("conntrack", "-I", "-p", "udp", "-t", "60", "--src", "10.244.0.2",
                 "--dst", destination, "--sport", "4000", "--dport", "53")  # fmt: skip

    output = node.visit(plan()).document.commands["conntrack-dns"].output

    assert "dst=10.96.0.10 sport=4000" in output
    assert "10.96.0.77" not in output


def test_two_samples_of_conntrack_span_the_window(fake_node: MakeNode) -> None:
    document = fake_node(web={}).visit(plan(window=0.5)).document

    first, last = document.conntrack
    assert last.time - first.time >= 0.5
    assert {"drop", "insert_failed", "entries"} <= first.counters.keys()


def test_a_rate_too_low_leaves_questions_unasked(fake_node: MakeNode) -> None:
    seen = fake_node(web={}).visit(plan(rate=0.001, deadline=5.0))

    assert sum(1 for probe in seen.document.probes if not probe.tries) == 3


def as_someone_else(node: FakeNode, *privileges: str) -> subprocess.CompletedProcess[bytes]:
    line = command_line(plan().encoded()).replace("python3", "/usr/bin/python3", 1)
    return subprocess.run(
        node.argv(f"setpriv {' '.join(privileges)} {line}"),
        capture_output=True,
        timeout=60,
        check=False,
    )


@pytest.mark.needs("setpriv", "/usr/bin/python3")
def test_it_does_not_begin_without_being_root(fake_node: MakeNode) -> None:
    finished = as_someone_else(fake_node(web={}), "--reuid 65534", "--clear-groups")

    assert (finished.returncode, finished.stdout) == (NOT_ROOT, b"")


@pytest.mark.needs("setpriv", "/usr/bin/python3")
def test_without_its_privileges_it_says_what_it_could_not_see(fake_node: MakeNode) -> None:
    node = fake_node(web={})
    finished = as_someone_else(node, "--bounding-set -sys_ptrace,-sys_admin")

    document = msgspec.json.decode(unframed(finished.stdout), type=NodeDocument)
    assert document.closed_processes >= 2
    assert any("CAP_SYS_PTRACE" in problem for problem in document.problems)


@pytest.mark.parametrize("version", ["3.6", "3.7", "3.9", "3.13"])
def test_runs_on_every_python(fake_node: MakeNode, version: str) -> None:
    interpreter = python(version)
    node = fake_node(web={})
    command = command_line(plan().encoded()).replace("python3", str(interpreter), 1)
    finished = subprocess.run(node.argv(command), capture_output=True, timeout=60, check=False)

    assert finished.stderr == b""
    assert b'"problems":[]' in unframed(finished.stdout)


def test_leaves_nothing_behind(fake_node: MakeNode) -> None:
    node = fake_node(web={})
    # The shell alone, for each program that it started would be seen, or not, as it happens.
    look = "for each in /proc/[0-9]*; do read name <$each/comm && echo $name; done; echo /run/*/*"
    before = node.run("sh", "-c", look)

    node.visit(plan())

    assert node.run("sh", "-c", look) == before


def test_a_hanging_tool_costs_its_share_and_the_rest_is_told(
    fake_node: MakeNode, tmp_path: Path
) -> None:
    node = fake_node(web={})
    tool = tmp_path / "conntrack"
    tool.write_text("#!/bin/sh\ntrap '' TERM\nsleep 1000 & wait\n")
    tool.chmod(0o755)
    node.run("mount", "--bind", str(tmp_path), "/usr/local/sbin")

    document = node.visit(plan(deadline=9.0)).document

    assert document.commands["conntrack-dns"].problem == "time limit"
    assert all(probe.tries for probe in document.probes)
    left = node.run("sh", "-c", "grep -h -A2 '^Name:.sleep' /proc/[0-9]*/status; true")
    assert all("zombie" in line for line in left.splitlines() if line.startswith("State:"))
