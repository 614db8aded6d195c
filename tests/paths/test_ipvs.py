"""Virtual servers: the rules and sets of a real kube-proxy in IPVS mode, on one recorded node."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.changed_recordings import Document
from tests.paths.conftest import GATEWAY, WEB, Change, complete, on, with_rules
from wirecheck.inspect.trace_view import HopView, PathView, TraceView

RECORDED = Path(__file__).parents[1] / "recorded" / "nodes" / "ipvs.json.gz"
VIRTUAL, NEAR, FAR = "10.96.120.245", "10.244.2.12", "10.244.1.9"
NODE, FAR_NODE = "172.31.250.12", "172.31.250.11"
DOCUMENTED = "10.96.120.245:80"
TITLE = (
    "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n"
    "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
)
SERVER = "TCP  0A6078F5:0050 rr  \n"
REALS = "  -> 0AF4020C:1F90      Masq    3      0          0         \n" + (
    "  -> 0AF40109:1F90      Masq    1      0          0         \n"
)
HAIRPIN = "-A KUBE-POSTROUTING -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE"
OF_NODE = "TCP  0A6078F5:0050 rr  \n  -> AC1FFA0C:1F90      Masq    1      0          0         \n"


@cache
def recorded() -> dict[str, str]:
    found: dict[str, str] = json.loads(gzip.decompress(RECORDED.read_bytes()))
    return found


def ipvs(servers: str = SERVER + REALS, conntrack: str | None = "1") -> Change:
    """Node wc-w2 with a kube-proxy in IPVS mode in place of its own."""

    def change(document: Document) -> None:
        own, files = document["namespaces"][0], document["files"]
        flags = ["BROADCAST", "NOARP"]
        own["links"].append({"index": 900, "name": "kube-ipvs0", "kind": "dummy", "flags": flags})
        own["addresses"].append({"index": 900, "address": VIRTUAL, "prefix": 32, "scope": "global"})
        files["/proc/net/ip_vs"] = TITLE + servers
        if conntrack is not None:
            files["/proc/sys/net/ipv4/vs/conntrack"] = conntrack
        commands = document["commands"]
        rules = commands["iptables-nft-save"]
        rules["output"] = recorded()["iptables"].replace("10.244.4.0", "10.244.2.0")
        rules.pop("blocks", None)
        sets = [f"add KUBE-CLUSTER-IP {VIRTUAL},tcp:80", f"add KUBE-IPVS-IPS {VIRTUAL}"]
        sets.append(f"add KUBE-LOOP-BACK {NEAR},tcp:8080,{NEAR}")
        text = recorded()["ipset"] + "".join(f"{each}\n" for each in sets)
        commands["ipset-save"] = {"argv": ["ipset", "save"], "status": 0, "output": text}

    return on("wc-w2", change)


Trace = Callable[..., TraceView]


def stage(path: PathView, name: str) -> HopView:
    return next(each for each in path.there.hops if each.stage == name)


def test_a_pod_reaches_each_real_server_with_its_share(traced: Trace) -> None:
    view = traced(WEB, GATEWAY, complete, ipvs())

    assert view.result == "reaches"
    assert {(each.there.arrives_as, each.share) for each in view.paths} == {
        (f"tcp 10.244.2.8 > {NEAR}:8080", 0.75),
        (f"tcp 10.244.2.8 > {FAR}:8080", 0.25),
    }
    near = next(each for each in view.paths if each.share == 0.75)
    assert stage(near, "IPVS").lines == [f"TCP  {DOCUMENTED} rr", f"-> {NEAR}:8080 Masq 3"]
    assert near.back is not None
    assert near.back.arrives_as == f"tcp {DOCUMENTED} > 10.244.2.8"


def test_a_pod_reaches_itself_by_the_set_of_such_pairs(traced: Trace) -> None:
    pod, rule = "pod/shop/gateway-58bcb6f5dc-j6wsv", on("wc-w2", with_rules(HAIRPIN, table="nat"))
    without = traced(pod, GATEWAY, complete, ipvs())
    view = traced(pod, GATEWAY, complete, ipvs(), rule)

    assert without.reason == f"its source {NEAR} is an address of this netns (accept_local is 0)"
    own = next(each for each in view.paths if each.share == 0.75)
    assert own.there.arrives_as == f"tcp 10.244.2.1 > {NEAR}:8080"
    assert own.result == "reaches"


def test_the_node_itself_is_masqueraded_by_set(traced: Trace) -> None:
    view = traced("node/wc-w2", GATEWAY, complete, ipvs())

    assert view.result == "reaches"
    ends = {each.there.arrives_as.partition(" > ")[0] for each in view.paths}
    assert ends == {"tcp 10.244.2.1", "tcp 10.244.2.0"}


def test_a_real_server_on_the_node_itself_takes_it_at_once(traced: Trace) -> None:
    view = traced(WEB, GATEWAY, complete, ipvs(OF_NODE))

    (path,) = view.paths
    assert (path.result, path.there.arrives_as) == ("reaches", f"tcp 10.244.2.8 > {NODE}:8080")
    assert path.back is not None
    assert path.back.arrives_as == f"tcp {DOCUMENTED} > 10.244.2.8"


@pytest.mark.parametrize(
    ("servers", "why"),
    [
        (SERVER, "rejected: the virtual server has no real server"),
        (SERVER + REALS.replace("3 ", "0 ").replace("1  ", "0  "),
         "rejected: the virtual server has no real server"),
    ],
)  # fmt: skip
def test_a_virtual_server_that_has_nobody_rejects(traced: Trace, servers: str, why: str) -> None:
    view = traced(WEB, GATEWAY, complete, ipvs(servers))

    assert (view.result, view.reason) == ("dies", why)
    assert view.paths[0].decisive is not None
    assert view.paths[0].decisive.stage == "IPVS"


def test_an_address_without_a_virtual_server_is_refused_by_the_set_of_addresses(
    traced: Trace,
) -> None:
    view = traced(WEB, VIRTUAL, complete, ipvs(), port="81")

    assert view.result == "dies"
    assert view.paths[0].decisive is not None
    assert "KUBE-IPVS-IPS" in view.paths[0].decisive.lines[-1]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (ipvs(conntrack="0"), "sysctl net/ipv4/vs/conntrack is 0"),
        (ipvs(conntrack=None), "sysctl net/ipv4/vs/conntrack was not read"),
        (ipvs(SERVER + REALS.replace("Masq ", "Route")), "real servers by Route are not followed"),
        (ipvs(SERVER + REALS + "FWM  00000007 rr  \n"), "what IPVS does with it is not followed"),
        (ipvs("TCP  nonsense rr\n"), "line 4 is malformed"),
    ],
)
def test_what_is_not_followed_is_not_guessed(traced: Trace, change: Change, why: str) -> None:
    view = traced(WEB, GATEWAY, complete, change)

    assert view.result == "cannot be decided"
    assert why in view.reason


def test_filters_of_forward_do_not_meet_what_ipvs_sends(traced: Trace) -> None:
    """IPVS sends packets through OUTPUT: answers meet FORWARD, with their connection."""
    forward = f"-A FORWARD -s 10.244.2.8/32 -d {FAR}/32 -j DROP"
    output = f"-A OUTPUT -s 10.244.2.8/32 -d {FAR}/32 -j DROP"

    passed = traced(WEB, GATEWAY, complete, ipvs(), on("wc-w2", with_rules(forward)))
    dropped = traced(WEB, GATEWAY, complete, ipvs(), on("wc-w2", with_rules(output)))

    assert passed.result == "reaches"
    assert dropped.result == "dies"
    assert dropped.paths[0].decisive is not None
    assert dropped.paths[0].decisive.lines[-1].endswith(output)
    assert [each.result for each in dropped.paths] == ["dies", "reaches"]


def test_table_nat_of_output_does_not_translate_again_what_ipvs_has_sent(traced: Trace) -> None:
    again = f"-A OUTPUT -d {FAR}/32 -p tcp -j DNAT --to-destination 10.244.1.8:8080"
    view = traced(WEB, GATEWAY, complete, ipvs(), on("wc-w2", with_rules(again, table="nat")))

    assert f"tcp 10.244.2.8 > {FAR}:8080" in {each.there.arrives_as for each in view.paths}


def test_the_ttl_decreases_where_ipvs_sends_a_packet_on(traced: Trace) -> None:
    rule = "-A PREROUTING -s 10.244.2.8/32 -j TTL --ttl-set 1"
    view = traced(WEB, GATEWAY, complete, ipvs(), on("wc-w2", with_rules(rule, table="mangle")))

    assert (view.result, view.reason) == ("dies", "its TTL has run out")


def test_a_route_to_the_real_server_that_refuses(traced: Trace) -> None:
    def block(document: Document) -> None:
        document["namespaces"][0]["routes"].append(
            {"family": 4, "destination": f"{FAR}/32", "type": "blackhole"}
        )

    view = traced(WEB, GATEWAY, complete, ipvs(), on("wc-w2", block))

    assert (view.result, view.reason) == ("dies", f"the route to {FAR} is blackhole")


def test_a_long_listing_may_lack_the_virtual_server(traced: Trace) -> None:
    """The kernel leaves some out; ipvsadm lists all."""
    others = "".join(
        f"TCP  0A60{n // 256:02X}{n % 256:02X}:0051 rr  \n  -> 0AF4020C:1F90      Masq    1      0"
        "          0         \n"
        for n in range(60)
    )

    def saved(document: Document) -> None:
        text = f"-A -t {DOCUMENTED} -s rr\n-a -t {DOCUMENTED} -r {FAR}:8080 -m -w 1\n"
        document["commands"]["ipvsadm-save"] = {"argv": [], "status": 0, "output": text}

    cut = traced(WEB, GATEWAY, complete, ipvs(others))
    whole = traced(WEB, GATEWAY, complete, ipvs(others), on("wc-w2", saved))

    assert cut.result == "cannot be decided"
    assert cut.paths[0].decisive is not None
    assert cut.paths[0].decisive.lines == ["/proc/net/ip_vs may not list all virtual servers"]
    assert [each.there.arrives_as for each in whole.paths] == [f"tcp 10.244.2.8 > {FAR}:8080"]
