"""The checks of conntrack, each on a cluster where one thing is broken."""

import json

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import FILTER, UNASKED, WEB_NETNS
from tests.checks.test_dns_servers import bind
from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable
from wirecheck.snapshot.node_document import Command, ConntrackSample, KernelLine, NewConnections

COUNT = "/proc/sys/net/netfilter/nf_conntrack_count"


@pytest.mark.parametrize(
    ("count", "levels"),
    [
        (98_304, []),
        (98_400, [Level.WARN]),
        (117_900, [Level.WARN]),
        (118_000, [Level.FAIL]),
        (131_072, [Level.FAIL]),
    ],
)
def test_use_warns_at_75_and_fails_at_90_percent(small, count, levels):
    small.change_file(COUNT, str(count))

    assert [each.level for each in small.findings("conntrack.table_usage")] == levels


@pytest.mark.parametrize(
    ("count", "limit"), [(98_400, "at most 75 % of"), (118_000, "at most 90 % of")]
)
def test_use_is_reported_with_the_threshold_that_it_exceeds(small, count, limit):
    small.change_file(COUNT, str(count))

    (finding,) = small.findings("conntrack.table_usage")
    assert finding.expected == f"{limit} 131,072 entries"


def test_a_pods_own_netns_counts_against_the_same_limit(small):
    small.change_netns(WEB_NETNS, conntrack_count=130_000)

    (finding,) = small.findings("conntrack.table_usage")
    assert finding.subject.name == "web"


def test_thresholds_come_from_the_inventory(small):
    small.change_file(COUNT, "98400")
    small.thresholds["conntrack.use_warn"] = 80

    assert not small.findings("conntrack.table_usage")


def test_a_count_that_was_not_read_is_an_error(small):
    small.change_file(COUNT, None)

    with pytest.raises(FactMissingError, match="nf_conntrack_count"):
        small.findings("conntrack.table_usage")


@pytest.mark.parametrize(
    ("counter", "level"), [("drop", Level.FAIL), ("insert_failed", Level.WARN)]
)
def test_a_counter_that_grows_is_found(small, counter, level):
    later = ConntrackSample(1002.0, {"drop": 5, "insert_failed": 2} | {counter: 9})
    small.change_document(conntrack=[small.document.conntrack[0], later])

    (finding,) = small.findings("conntrack.no_drops")
    assert finding.level is level


def test_one_sample_alone_is_an_error(small):
    small.change_document(conntrack=small.document.conntrack[:1])

    with pytest.raises(FactMissingError, match="twice"):
        small.findings("conntrack.no_drops")


@pytest.mark.parametrize(
    ("age", "level"), [(600, Level.FAIL), (3_600, Level.FAIL), (3_630, Level.WARN)]
)
def test_a_full_table_in_the_log_is_found_with_its_time(small, age, level):
    text = "nf_conntrack: nf_conntrack: table full, dropping packet"
    lines = [KernelLine(1002.0 - age, "conntrack-full", text)] * 2
    small.change_document(kernel_log=lines)

    (finding,) = small.findings("conntrack.no_table_full_logged")
    assert finding.level is level
    assert "2 times" in finding.found


NOT_ASKED = Command(["conntrack"], problem="not asked: the DNS Service has no IPv6 address")


def dns_entry(backend: str) -> str:
    return (
        "udp      17 25 src=10.244.0.3 dst=10.96.0.10 sport=4000 dport=53 "
        f"src={backend} dst=10.244.0.3 sport=53 dport=4000 [ASSURED] mark=0 use=1\n"
    )


def with_conntrack(small, output: str, **more) -> None:
    command = Command(["conntrack"], status=0, output=output, **more)
    small.change_document(commands={"conntrack-dns": command, "conntrack-dns6": NOT_ASKED})


@pytest.mark.parametrize(
    ("backend", "found"),
    [
        ("10.244.0.2", []),
        ("10.244.9.9", ["translated to 10.244.9.9, which is not a DNS replica"]),
        ("10.96.0.10", ["not translated: the entry is older than the Service's rules"]),
    ],
)
def test_an_entry_to_a_dead_backend_is_found(small, backend, found):
    with_conntrack(small, dns_entry(backend))

    assert [f.found for f in small.findings("conntrack.no_stale_udp_entries")] == found


def test_entries_that_cilium_does_not_go_by_are_not_stale(small):
    """Packets of a moment without its programs, while its agent restarted on a real node."""
    with_conntrack(small, dns_entry("10.96.0.10"))
    assert small.findings("conntrack.no_stale_udp_entries")

    bind(small, "cilium_host", "10.244.1.254")
    meta = {"name": "cilium-config", "namespace": "kube-system"}
    small.api["configMaps"] = [{"metadata": meta, "data": {"kube-proxy-replacement": "true"}}]
    with pytest.raises(NotApplicable, match="Cilium"):
        small.findings("conntrack.no_stale_udp_entries")


@pytest.mark.parametrize(
    ("device", "backend", "count"),
    [
        ("nodelocaldns", "10.96.0.10", 0),
        ("nodelocaldns", "169.254.20.10", 0),
        ("kube-ipvs0", "10.96.0.10", 1),
    ],
)
def test_a_cache_of_the_node_may_answer(small, device, backend, count):
    """NodeLocal DNSCache without rules that keep its packets from being tracked."""
    bind(small, device, "10.96.0.10", "169.254.20.10")
    with_conntrack(small, dns_entry(backend))

    assert len(small.findings("conntrack.no_stale_udp_entries")) == count


def test_entries_of_others_do_not_count(small):
    with_conntrack(small, dns_entry("10.244.9.9").replace("dst=10.96.0.10", "dst=192.0.2.7"))

    assert not small.findings("conntrack.no_stale_udp_entries")


@pytest.mark.parametrize(
    ("output", "more"),
    [("udp 17 25 src=10.244.0.3 dst=10.9", {}), ("", {"problem": "missing"})],
    ids=["cut", "no tool"],
)
def test_what_cannot_be_read_is_an_error(small, output, more):
    with_conntrack(small, output, **more)

    with pytest.raises(FactMissingError):
        small.findings("conntrack.no_stale_udp_entries")


def udp_service(small, *endpoints: str, **spec) -> None:
    """Service logging/syslog at 10.96.0.77:514 and node port 30514."""
    metadata = {"name": "syslog", "namespace": "logging"}
    port = {"name": "syslog", "port": 514, "protocol": "UDP", "nodePort": 30514}
    small.api["services"].append(
        {"metadata": metadata, "spec": {"clusterIP": "10.96.0.77", "ports": [port], **spec}}
    )
    small.api["endpointSlices"].append(
        {
            "metadata": {**metadata, "labels": {"kubernetes.io/service-name": "syslog"}},
            "endpoints": [
                {"addresses": [each], "conditions": {"ready": False}} for each in endpoints
            ],
            "ports": [{"name": "syslog", "port": 5514, "protocol": "UDP"}],
        }
    )


def udp_entry(backend: str, to: str = "10.96.0.77", port: int = 514, at: int = 5514) -> str:
    return (
        f"udp      17 25 src=10.244.0.3 dst={to} sport=4000 dport={port} [UNREPLIED] "
        f"src={backend} dst=10.244.0.3 sport={at} dport=4000 mark=0 use=1\n"
    )


def stale(small, *entries: str) -> list[tuple[str, str]]:
    with_conntrack(small, "".join(entries))
    return [(f.subject.part, f.found) for f in small.findings("conntrack.no_stale_udp_entries")]


def test_an_entry_of_any_udp_service_to_a_dead_backend_is_found(small):
    udp_service(small, "10.244.0.3")

    assert stale(small, udp_entry("10.244.0.3")) == []
    assert stale(small, udp_entry("10.244.9.9"), udp_entry("10.244.9.9")) == [
        (
            "conntrack entries to 10.96.0.77:514/udp",
            "translated to 10.244.9.9:5514, which is not one",
        )
    ]
    assert len(stale(small, udp_entry("10.244.0.3", at=9999))) == 1


def test_entries_of_a_service_that_has_lost_all_endpoints_are_found(small):
    udp_service(small)

    assert stale(small, udp_entry("10.244.9.9")) == [
        (
            "conntrack entries to 10.96.0.77:514/udp",
            "translated to 10.244.9.9:5514, although the Service has none",
        )
    ]
    (finding,) = small.findings("conntrack.no_stale_udp_entries")
    assert finding.expected == "translated to an endpoint of Service logging/syslog"
    assert dict(finding.names)["backend"] == "10.244.9.9"


@pytest.mark.parametrize(
    ("to", "port", "count"),
    [("192.0.2.1", 30514, 1), ("203.0.113.9", 514, 1), ("198.51.100.8", 514, 1),
     ("198.51.100.9", 30514, 0), ("192.0.2.1", 514, 0)],
    ids=["node port", "load balancer", "external IP", "another host", "another port"],
)  # fmt: skip
def test_every_frontend_of_a_udp_service_counts(small, to, port, count):
    udp_service(small, "10.244.0.3", externalIPs=["198.51.100.8"])
    small.api["services"][-1]["status"] = {"loadBalancer": {"ingress": [{"ip": "203.0.113.9"}]}}

    assert len(stale(small, udp_entry("10.244.9.9", to, port))) == count


def test_the_load_balancers_own_addresses_do_not_count(small):
    """With ipMode Proxy, ServiceLB of k3s takes them by host ports of its own pods."""
    udp_service(small, "10.244.0.3")
    ingress = [{"ip": "192.0.2.1", "ipMode": "Proxy"}]
    small.api["services"][-1]["status"] = {"loadBalancer": {"ingress": ingress}}

    assert stale(small, udp_entry("10.244.0.9", "192.0.2.1")) == []


@pytest.mark.parametrize(
    ("chain", "target", "count"),
    [
        ("CNI-DN-0123456789abcdef", "10.244.0.9:5514", 0),
        ("DOCKER", "10.244.0.9:5514", 0),
        ("KUBE-HP-ABCDEF", "10.244.0.9:5514", 0),
        ("KUBE-SEP-ABCDEF", "10.244.0.9:5514", 1),
        ("DOCKER", "10.244.0.9:55140", 1),
        ("DOCKER", "10.244.0.90:5514", 1),
    ],
)
def test_what_another_program_translates_is_not_stale(small, chain, target, count):
    udp_service(small, "10.244.0.3")
    small.api["services"][-1]["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    rule = f"-A {chain} -p udp -m udp --dport 514 -j DNAT --to-destination {target}"
    table = f"*nat\n:PREROUTING ACCEPT [0:0]\n:{chain} - [0:0]\n{rule}\nCOMMIT\n"
    with_conntrack(small, udp_entry("10.244.0.9", "192.0.2.1"))
    for each in UNASKED:
        small.document.commands[each] = NOT_ASKED
    small.change_output("iptables-nft-save", f"{FILTER}{table}")

    assert len(small.findings("conntrack.no_stale_udp_entries")) == count


@pytest.mark.parametrize(
    ("command", "content", "count"),
    [
        ("nft-portmap", {"rule": {"chain": "hostports", "expr": [
            {"dnat": {"addr": "10.244.0.9", "port": 5514}}]}}, 0),
        ("nft-crio", {"map": {"name": "hostports", "elem": [
            [{"concat": ["udp", 514]}, {"concat": ["10.244.0.9", 5514]}]]}}, 0),
        ("nft-table ip docker-bridges", {"rule": {"chain": "nat", "expr": [
            {"dnat": {"family": "ip", "addr": "10.244.0.9", "port": 5514}}]}}, 0),
        ("nft-portmap", {"rule": {"chain": "hostports", "expr": [
            {"dnat": {"addr": "10.244.0.9", "port": 5515}}]}}, 1),
        ("nft-kube-proxy", {"rule": {"chain": "endpoint", "expr": [
            {"dnat": {"addr": "10.244.0.9", "port": 5514}}]}}, 1),
        ("nft-table ip x", {"set": {"name": "s", "elem": [{"concat": ["10.244.0.9", 5514]}]}}, 1),
    ],
)  # fmt: skip
def test_what_an_nftables_table_translates_is_not_stale(small, command, content, count):
    udp_service(small, "10.244.0.3")
    small.api["services"][-1]["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}
    with_conntrack(small, udp_entry("10.244.0.9", "192.0.2.1"))
    listing = json.dumps({"nftables": [content]})
    small.document.commands[command] = Command(["nft"], status=0, output=listing)

    assert len(small.findings("conntrack.no_stale_udp_entries")) == count


def test_a_service_of_another_proxy_is_not_compared(small):
    udp_service(small)
    labels = {"service.kubernetes.io/service-proxy-name": "other"}
    small.api["services"][-1]["metadata"]["labels"] = labels

    assert stale(small, udp_entry("10.244.9.9")) == []


def test_services_with_one_address_share_their_endpoints(small):
    udp_service(small, "10.244.0.3")
    udp_service(small, "10.244.0.4")
    small.api["services"][-1]["metadata"] = {"name": "other", "namespace": "logging"}
    small.api["endpointSlices"][-1]["metadata"]["labels"] = {"kubernetes.io/service-name": "other"}

    assert stale(small, udp_entry("10.244.0.3"), udp_entry("10.244.0.4")) == []


def test_an_entry_that_is_not_translated_is_not_a_backends(small):
    udp_service(small)

    assert stale(small, udp_entry("10.96.0.77", at=514)) == []


def configured(small, conntrack: str) -> None:
    data = {
        "config.conf": f"kind: KubeProxyConfiguration\nmode: iptables\nconntrack: {conntrack}\n"
    }
    small.api["configMaps"] = [
        {"metadata": {"name": "kube-proxy", "namespace": "kube-system"}, "data": data}
    ]


@pytest.mark.parametrize(
    ("conntrack", "found"),
    [
        ("null", []),
        ("{maxPerCore: null, min: null}", []),
        ("{maxPerCore: 65536, min: 1}", []),
        ("{maxPerCore: 100000, min: 1}", ["131,072"]),
        ("{maxPerCore: 1, min: 262144}", ["131,072"]),
    ],
)
def test_a_limit_below_kube_proxys_is_found(small, conntrack, found):
    configured(small, conntrack)

    assert [f.found for f in small.findings("conntrack.limit_as_configured")] == found


def test_kube_proxy_may_be_configured_to_leave_the_limit_alone(small):
    configured(small, "{maxPerCore: 0}")

    with pytest.raises(NotApplicable, match="leave the conntrack limit alone"):
        small.findings("conntrack.limit_as_configured")


def test_a_limit_that_was_raised_without_the_hash_table_is_found(small):
    small.change_file("/proc/sys/net/netfilter/nf_conntrack_max", "1048576")

    (finding,) = small.findings("conntrack.hash_size")
    assert (finding.level, finding.expected) == (Level.WARN, "at least 131,072")


NAT = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-POSTROUTING - [0:0]
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
-A KUBE-POSTROUTING -j MASQUERADE{}
COMMIT
"""


def test_masquerading_without_random_ports_is_found(small):
    small.change_output("iptables-nft-save", NAT.format(" --random-fully"))
    assert not small.findings("conntrack.random_source_ports")

    small.change_output("iptables-nft-save", NAT.format(""))
    (finding,) = small.findings("conntrack.random_source_ports")
    assert (finding.level, finding.subject.part) == (Level.WARN, "KUBE-POSTROUTING")


def test_the_rule_of_ipvs_mode_for_hairpin_connections_counts_as_it_is(small):
    """kube-proxy writes it without --random-fully in every version."""
    hairpin = "-A KUBE-POSTROUTING -m set --match-set KUBE-LOOP-BACK dst,dst,src -j MASQUERADE\n"
    for option, chains in (("--random-fully", []), ("", ["KUBE-POSTROUTING"])):
        text = NAT.format(f" {option}".rstrip()).replace("COMMIT", f"{hairpin}COMMIT")
        small.change_output("iptables-nft-save", text)
        found = small.findings("conntrack.random_source_ports")
        assert [each.subject.part for each in found] == chains


def test_a_node_where_nothing_masquerades_is_skipped(small):
    with pytest.raises(NotApplicable, match="masquerades"):
        small.findings("conntrack.random_source_ports")


def test_more_new_connections_than_fit_are_found_with_where_they_go(small):
    heard = NewConnections(2.0, 1638, destinations={"10.96.0.9:80/tcp": 1500})
    small.change_document(new_connections=heard)
    assert not small.findings("conntrack.connection_rate")

    small.change_document(new_connections=replace(heard, count=1639, lost=True))
    (finding,) = small.findings("conntrack.connection_rate")
    assert finding.found == "at least 820 a second, mostly to 10.96.0.9:80/tcp"
    assert finding.evidence == ("10.96.0.9:80/tcp: 1,500",)


def test_a_node_that_was_not_listened_to_is_skipped_and_one_that_failed_is_an_error(small):
    small.change_document(new_connections=None)
    with pytest.raises(NotApplicable, match="not counted"):
        small.findings("conntrack.connection_rate")

    small.change_document(problems=["New connections: PermissionError: no."])
    with pytest.raises(FactMissingError, match="PermissionError"):
        small.findings("conntrack.connection_rate")
