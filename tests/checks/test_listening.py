"""endpoints.accept_connections: sockets of pods, and the ports that Services forward to."""

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import DNS_NETNS, HOST, WEB_NETNS, link
from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable
from wirecheck.snapshot.attempts import Contact
from wirecheck.snapshot.netns import Address, Listener

CHECK = "endpoints.accept_connections"
DNS_POD, WEB_POD, AGENT_POD = 0, 1, 2


@pytest.fixture
def web(small):
    """A Service for the web pod, at its port 8080; the pod listens there."""
    small.api["services"].append(
        {
            "metadata": {"name": "web", "namespace": "shop"},
            "spec": {
                "selector": {"app": "web"},
                "clusterIP": "10.96.0.20",
                "clusterIPs": ["10.96.0.20"],
                "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
            },
        }
    )
    small.api["endpointSlices"].append(
        {
            "metadata": {
                "name": "web-1",
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "addressType": "IPv4",
            "endpoints": [
                {
                    "addresses": ["10.244.0.3"],
                    "conditions": {"ready": True, "serving": True},
                    "nodeName": "n1",
                    "targetRef": {"kind": "Pod", "name": "web", "namespace": "shop"},
                }
            ],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }
    )
    return small


def listen(small, *sockets, inode=WEB_NETNS):
    small.change_netns(inode, listeners=[Listener(*each) for each in sockets])


def move_to(small, address, *sockets):
    """Give the web pod another address, also in the slice."""
    small.api["pods"][WEB_POD]["status"] |= {"podIP": address, "podIPs": [{"ip": address}]}
    small.api["endpointSlices"][1]["endpoints"][0]["addresses"] = [address]
    small.api["endpointSlices"][1]["addressType"] = "IPv6" if ":" in address else "IPv4"
    small.change_netns(WEB_NETNS, addresses=[Address(2, address, 64)])
    listen(small, *sockets)


@pytest.mark.parametrize(
    "socket",
    [
        ("0.0.0.0", 8080),
        ("10.244.0.3", 8080),
        ("::", 8080, False),
        ("::", 8080, None),
        ("::ffff:10.244.0.3", 8080, False),
        ("::ffff:0.0.0.0", 8080, False),
    ],
    ids=["wildcard", "own", "dual-stack", "from /proc", "mapped", "mapped wildcard"],
)
def test_a_socket_at_the_pods_address_or_at_all_accepts(web, socket):
    listen(web, ("127.0.0.1", 9000), socket)

    assert not web.findings(CHECK)


@pytest.mark.parametrize(
    ("sockets", "found"),
    [
        ([("0.0.0.0", 80)], "nothing listens there"),
        ([], "nothing listens there"),
        ([("127.0.0.1", 8080)], "it listens only at 127.0.0.1:8080"),
        ([("::1", 8080, False)], "it listens only at [::1]:8080"),
        ([("::", 8080, True)], "it listens only at [::]:8080 (IPv6 only)"),
        ([("10.244.0.99", 8080)], "it listens only at 10.244.0.99:8080"),
    ],
    ids=["another port", "nothing at all", "loopback", "IPv6 loopback", "IPv6 only", "elsewhere"],
)
def test_a_port_that_nobody_listens_on_is_found(web, sockets, found):
    listen(web, *sockets)

    (finding,) = web.findings(CHECK)
    assert finding.level is Level.WARN
    assert str(finding.subject) == "Service shop/web port http"
    assert finding.expected == "each Ready pod listens at TCP port 8080 of its IPv4 address"
    assert finding.found == f"{found}: 1 pod shop/web"
    assert not finding.inconclusive


def test_a_pod_that_listens_on_ipv4_only_does_not_serve_ipv6(web):
    move_to(web, "fd00::3", ("0.0.0.0", 8080))

    (finding,) = web.findings(CHECK)
    assert finding.found.startswith("it listens only at 0.0.0.0:8080")


@pytest.mark.parametrize("socket", [("::", 8080, True), ("fd00::3", 8080, True)])
def test_an_ipv6_socket_serves_ipv6(web, socket):
    move_to(web, "fd00::3", socket)

    assert not web.findings(CHECK)


def test_the_evidence_shows_the_sockets_and_a_refused_connection_of_the_node(web):
    listen(web, ("0.0.0.0", 80), ("127.0.0.1", 9000))
    web.change_document(
        contacts=[Contact(HOST, "", "backend", "10.244.0.3", 8080, tries=3, error="refused")]
    )

    (finding,) = web.findings(CHECK)
    assert finding.evidence == (
        "Pod shop/web listens at: 0.0.0.0:80, 127.0.0.1:9000",
        "A connection from n1 to 10.244.0.3:8080 was refused.",
    )


@pytest.mark.parametrize(("source", "error"), [("", "timeout"), ("another pod", "refused")])
def test_neither_a_time_out_nor_a_pods_connection_confirms(web, source, error):
    listen(web)
    web.change_document(
        contacts=[Contact(HOST, source, "backend", "10.244.0.3", 8080, tries=3, error=error)]
    )

    (finding,) = web.findings(CHECK)
    assert finding.evidence == ("Pod shop/web listens at: no TCP port",)


def test_a_name_that_no_container_has_is_found(web):
    web.api["services"][-1]["spec"]["ports"][0]["targetPort"] = "http-web"
    web.api["endpointSlices"][1]["ports"] = []

    (finding,) = web.findings(CHECK)
    assert finding.expected == "a container port named http-web in each Ready pod"
    assert finding.found == "no container of the pod has a port named http-web: 1 pod shop/web"


def test_a_name_is_resolved_for_each_pod(web):
    web.api["services"][-1]["spec"]["ports"][0]["targetPort"] = "http-web"
    web.api["pods"][WEB_POD]["spec"]["containers"][0]["ports"] = [
        {"name": "http-web", "containerPort": 9090}
    ]
    web.api["endpointSlices"][1]["ports"][0]["port"] = 9090
    assert [each.expected for each in web.findings(CHECK)] == [
        "each Ready pod listens at TCP port 9090 of its IPv4 address"
    ]

    listen(web, ("0.0.0.0", 9090))
    assert not web.findings(CHECK)


def test_pods_of_one_node_are_one_finding(web):
    listen(web)
    web.api["endpointSlices"][1]["endpoints"].append(
        {
            "addresses": ["10.244.0.2"],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "name": "dns", "namespace": "kube-system"},
        }
    )

    (finding,) = web.findings(CHECK)
    assert finding.found == "nothing listens there: 2 pods shop/web, kube-system/dns"
    assert {each.object_key for each in finding.concerns} == {
        ("Pod", "shop", "web"),
        ("Pod", "kube-system", "dns"),
    }


INCONCLUSIVE = {
    "sandbox": lambda small: small.api["pods"][WEB_POD]["spec"].update(runtimeClassName="gvisor"),
    "mesh's rules": lambda small: small.change_netns(WEB_NETNS, filters=["nat"]),
    "mesh's nftables": lambda small: small.change_netns(WEB_NETNS, filters=["ip istio-proxy"]),
    "tables unread": lambda small: small.change_netns(WEB_NETNS, filters=None),
    "mesh's annotation": lambda small: small.api["pods"][WEB_POD]["metadata"].update(
        annotations={"sidecar.istio.io/status": "{}"}
    ),
    "virtual machine": lambda small: small.change_netns(
        WEB_NETNS, links=[link(2, "eth0", peer_index=12), link(3, "tap0", "tun")]
    ),
    "unknown runtime class": lambda small: small.api["pods"][WEB_POD]["spec"].update(
        runtimeClassName="confidential"
    ),
    "sockets unread": lambda small: small.change_netns(WEB_NETNS, listeners=None),
    "too many sockets": lambda small: small.change_netns(WEB_NETNS, listeners_cut=True),
    "another address": lambda small: small.change_netns(WEB_NETNS, addresses=[]),
    "just Ready": lambda small: small.api["pods"][WEB_POD]["status"]["conditions"][0].update(
        lastTransitionTime="1970-01-01T00:16:10Z"
    ),
}
"""What hides the sockets that accept, or passes the port to others."""


@pytest.mark.parametrize("change", INCONCLUSIVE.values(), ids=INCONCLUSIVE)
def test_a_port_that_something_may_pass_on_is_inconclusive(web, change):
    listen(web)
    change(web)

    assert [bool(each.inconclusive) for each in web.findings(CHECK)] == [True]


def test_a_pod_that_listens_passes_whatever_is_in_its_netns(web):
    web.change_netns(WEB_NETNS, filters=["nat", "mangle"], listeners_cut=True)

    assert not web.findings(CHECK)


def test_a_pod_that_has_been_ready_for_long_is_evaluated(web):
    listen(web)
    web.api["pods"][WEB_POD]["status"]["conditions"][0]["lastTransitionTime"] = (
        "1970-01-01T00:10:00Z"
    )

    assert [each.inconclusive for each in web.findings(CHECK)] == [""]


class TestPodsOnTheHostNetwork:
    @pytest.fixture
    def agent(self, web):
        """The web Service's endpoint is a pod on the host network."""
        web.api["endpointSlices"][1]["endpoints"][0].update(
            addresses=["192.0.2.1"],
            targetRef={"kind": "Pod", "name": "flannel", "namespace": "kube-flannel"},
        )
        return web

    def test_the_nodes_sockets_count(self, agent):
        listen(agent, ("192.0.2.1", 8080), inode=HOST)
        assert not agent.findings(CHECK)

        listen(agent, ("127.0.0.1", 8080), inode=HOST)
        (finding,) = agent.findings(CHECK)
        assert finding.found.startswith("it listens only at 127.0.0.1:8080")

    @pytest.mark.parametrize(
        ("rule", "is_inconclusive"),
        [
            ("-p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.244.0.3:80", True),
            ("-p tcp -m multiport --dports 80,8080 -j REDIRECT --to-ports 9000", True),
            ("-p tcp -m multiport --dports 80,8080,443:445 -j TPROXY --on-port 9000", True),
            ("-p tcp -m tcp --dport 18080 -j DNAT --to-destination 10.244.0.3:80", False),
            ("-p tcp -m tcp --dport 8080 -j ACCEPT", False),
        ],
    )
    def test_a_rule_of_the_node_may_redirect_the_port(self, agent, rule, is_inconclusive):
        text = f"*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING {rule}\nCOMMIT\n"
        agent.change_output("iptables-nft-save", text)

        (finding,) = agent.findings(CHECK)
        assert bool(finding.inconclusive) is is_inconclusive

    def test_rules_that_could_not_be_read_may_redirect_the_port(self, agent):
        failed = replace(agent.document.commands["iptables-nft-save"], status=1, output="")
        agent.change_document(commands={**agent.document.commands, "iptables-nft-save": failed})

        (finding,) = agent.findings(CHECK)
        assert "could not be read" in finding.inconclusive


NOT_EXPECTED = {
    "not a Ready endpoint": lambda small: small.api["endpointSlices"][1]["endpoints"][0].update(
        conditions={"ready": False}
    ),
    "published, but not Ready": lambda small: small.api["pods"][WEB_POD]["status"].update(
        conditions=[{"type": "Ready", "status": "False"}]
    ),
    "being deleted": lambda small: small.api["pods"][WEB_POD]["metadata"].update(
        deletionTimestamp="2026-11-23T00:00:00Z"
    ),
    "headless": lambda small: small.api["services"][-1]["spec"].update(
        clusterIP="None", clusterIPs=["None"]
    ),
    "UDP": lambda small: (
        small.api["services"][-1]["spec"]["ports"][0].update(protocol="UDP"),
        small.api["endpointSlices"][1]["ports"][0].update(protocol="UDP"),
    ),
    "no pod": lambda small: small.api["endpointSlices"][1]["endpoints"][0].update(targetRef=None),
    "an address of another": lambda small: small.api["endpointSlices"][1]["endpoints"][0].update(
        addresses=["10.244.0.77"]
    ),
    "a name without a selector": lambda small: (
        small.api["services"][-1]["spec"].update(selector={}),
        small.api["services"][-1]["spec"]["ports"][0].update(targetPort="http-web"),
        small.api["endpointSlices"][1].update(ports=[]),
    ),
}


@pytest.mark.parametrize("change", NOT_EXPECTED.values(), ids=NOT_EXPECTED)
def test_what_nothing_is_expected_of_is_not_evaluated(web, change):
    listen(web)
    change(web)

    assert not web.findings(CHECK)


def test_a_recording_without_sockets_is_not_evaluated(web):
    for inode in (HOST, DNS_NETNS, WEB_NETNS):
        web.change_netns(inode, listeners=None)

    with pytest.raises(NotApplicable, match="not read on this node"):
        web.findings(CHECK)

    web.change_document(problems=["Listening sockets: OSError: no."])
    with pytest.raises(FactMissingError, match="Listening sockets: OSError"):
        web.findings(CHECK)


def test_a_node_without_endpoints_is_not_evaluated(small):
    small.api["endpointSlices"] = []

    with pytest.raises(NotApplicable, match="no Ready pod"):
        small.findings(CHECK)


def test_an_unreadable_address_of_a_socket_costs_nothing_else(web):
    listen(web, ("what?", 8080), ("0.0.0.0", 8080))

    assert not web.findings(CHECK)


@pytest.mark.parametrize(
    ("tried", "is_found", "is_confirmed"),
    [
        ({"error": "refused"}, True, True),
        ({"error": "timeout"}, True, False),
        ({"made": 1}, False, False),
        ({"made": 1, "source": "another-pod"}, True, False),
        ({"made": 1, "port": 8081}, True, False),
    ],
)
def test_a_connection_from_the_node_confirms_or_clears_it(web, tried, is_found, is_confirmed):
    listen(web, ("0.0.0.0", 9090))
    fields = {
        "source": "",
        "purpose": "unserved",
        "address": "10.244.0.3",
        "port": 8080,
        "tries": 1,
    }
    web.change_document(contacts=[Contact(HOST, **fields | tried)])

    found = web.findings(CHECK)
    assert bool(found) is is_found
    assert any("was refused" in line for each in found for line in each.evidence) is is_confirmed
