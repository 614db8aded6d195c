"""The checks of deprecations: nodes that depend on something that goes away, and others."""

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import HOST
from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable
from wirecheck.snapshot.netns import Address
from wirecheck.snapshot.node_document import Command, Host, HttpAnswer, NewConnections

LOCALHOST = "kubeproxy_iptables_localhost_nodeports_accepted_packets_total"


def configure(small, mode, version="v1.36.2", actual=""):
    """kube-proxy's ConfigMap, its version, and the mode that it reports."""
    small.api["configMaps"] = [
        {
            "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
            "data": {"config.conf": f"kind: KubeProxyConfiguration\nmode: {mode!r}\n"},
        }
    ]
    small.api["nodes"][0]["status"]["nodeInfo"]["kubeletVersion"] = version
    small.change_document(http={"proxyMode": HttpAnswer(200, actual or mode or "iptables")})


def count(small, metrics):
    small.change_document(http={**small.document.http, "metrics": HttpAnswer(200, metrics)})


def add_node_port(small):
    spec = small.api["services"][0]["spec"]
    spec["type"] = "NodePort"
    spec["ports"][0]["nodePort"] = 30443


def add_host_port(small):
    small.api["pods"][1]["spec"]["containers"][0]["ports"] = [
        {"containerPort": 8080, "hostPort": 8088}
    ]


def on_kernel(small, kernel, system="Debian GNU/Linux 12 (bookworm)"):
    small.change_document(host=Host("n1", kernel=kernel, os=system, cpus=2))


def with_nft(small, output, **fields):
    command = Command(["nft", "--version"], status=0, output=output, **fields)
    small.change_document(commands={**small.document.commands, "nft-version": command})


class TestTheDefaultMode:
    CHECK = "deprecations.default_proxy_mode"

    def test_a_mode_that_is_not_set_is_found(self, small):
        configure(small, "")

        (finding,) = small.findings(self.CHECK)
        assert finding.level is Level.WARN
        assert finding.found == "no mode is set; it runs in iptables mode"
        assert "(first affected: Kubernetes 1.40)" in finding.expected
        assert finding.evidence == (
            "Source: https://github.com/kubernetes/enhancements/issues/5343",
        )

    @pytest.mark.parametrize("mode", ["iptables", "nftables", "ipvs"])
    def test_a_mode_that_is_set_passes(self, small, mode):
        configure(small, mode)

        assert not small.findings(self.CHECK)

    def test_a_configuration_elsewhere_is_not_evaluated(self, small):
        with pytest.raises(NotApplicable, match="not in a known ConfigMap"):
            small.findings(self.CHECK)

    @pytest.mark.parametrize("text", ["mode: [", "42", "- mode"])
    def test_a_damaged_configuration_is_not_a_pass(self, small, text):
        configure(small, "")
        small.api["configMaps"][0]["data"]["config.conf"] = text

        with pytest.raises((NotApplicable, FactMissingError)):
            small.findings(self.CHECK)

    def test_a_kube_proxy_with_the_new_default_is_not_affected(self, small):
        configure(small, "", version="v1.40.0")

        with pytest.raises(NotApplicable, match="already"):
            small.findings(self.CHECK)


class TestTheTarget:
    CHECK = "deprecations.default_proxy_mode"

    @pytest.mark.parametrize("target", ["1.37", "v1.39.4"])
    def test_a_change_after_the_target_is_left_out(self, small, target):
        configure(small, "")
        small.upgrade_target = target

        with pytest.raises(NotApplicable, match=r"changes in Kubernetes 1\.40, after the target"):
            small.findings(self.CHECK)

    @pytest.mark.parametrize("target", ["1.40", "v1.41.0"])
    def test_a_change_up_to_the_target_counts(self, small, target):
        configure(small, "")
        small.upgrade_target = target

        assert len(small.findings(self.CHECK)) == 1

    def test_a_target_that_is_no_version_is_an_error(self, small):
        configure(small, "")
        small.upgrade_target = "latest"

        with pytest.raises(FactMissingError, match="upgrade_target is invalid"):
            small.findings(self.CHECK)

    def test_what_an_os_takes_away_has_no_target(self, small):
        small.upgrade_target = "1.36"
        small.change_output("iptables-legacy-save", "*nat\n-A OUTPUT -j ACCEPT\nCOMMIT\n")

        assert len(small.findings("deprecations.legacy_iptables")) == 1


class TestIpvs:
    CHECK = "deprecations.ipvs_mode"

    @pytest.mark.parametrize(
        ("version", "first"), [("v1.36.2", "Kubernetes 1.40"), ("v1.41.0", "Kubernetes 1.43")]
    )
    def test_ipvs_mode_is_found(self, small, version, first):
        configure(small, "ipvs", version)

        (finding,) = small.findings(self.CHECK)
        assert finding.found == "ipvs"
        assert f"(first affected: {first})" in finding.expected

    @pytest.mark.parametrize("mode", ["", "iptables", "nftables"])
    def test_other_modes_pass(self, small, mode):
        configure(small, mode)

        assert not small.findings(self.CHECK)


class TestTheKernel:
    CHECK = "deprecations.nftables_kernel"

    @pytest.mark.parametrize(
        "kernel", ["4.18.0-553.el8.x86_64", "5.4.0-150-generic", "5.12.19", "3.10.0-1160.el7"]
    )
    @pytest.mark.parametrize("mode", ["", "ipvs", "nftables"])
    def test_an_old_kernel_is_found_where_nftables_comes(self, small, kernel, mode):
        configure(small, mode)
        on_kernel(small, kernel)

        assert [each.found for each in small.findings(self.CHECK)] == [kernel]

    @pytest.mark.parametrize(
        "kernel", ["5.13.0", "5.14.0-427.el9.x86_64", "6.1.0-28-amd64", "10.0"]
    )
    def test_a_newer_kernel_passes(self, small, kernel):
        configure(small, "")
        on_kernel(small, kernel)

        assert not small.findings(self.CHECK)

    def test_iptables_mode_stays(self, small):
        configure(small, "iptables")
        on_kernel(small, "4.18.0-553.el8.x86_64")

        with pytest.raises(NotApplicable, match="which stays"):
            small.findings(self.CHECK)

    def test_a_kernel_without_a_version_is_an_error(self, small):
        configure(small, "")
        on_kernel(small, "custom")

        with pytest.raises(FactMissingError, match="unrecognised"):
            small.findings(self.CHECK)


class TestNft:
    CHECK = "deprecations.nft_version"

    @pytest.mark.parametrize("version", ["0.9.3", "0.9.8", "1.0.0"])
    def test_an_old_nft_is_found(self, small, version):
        configure(small, "")
        with_nft(small, f"nftables v{version} (E.D.S.)\n")

        (finding,) = small.findings(self.CHECK)
        assert finding.found == f"nftables v{version} (E.D.S.)"
        assert "at least 1.0.1" in finding.expected

    @pytest.mark.parametrize(
        ("mode", "proxy", "nft", "number"),
        [
            ("nftables", "v1.36.2", "1.1.3", 1),
            ("nftables", "v1.33.0", "1.1.5", 1),
            ("nftables", "v1.37.0", "1.1.3", 0),
            ("nftables", "v1.36.2", "1.0.6", 0),
            ("", "v1.36.2", "1.1.3", 0),
        ],
    )
    def test_a_new_nft_crashes_an_older_kube_proxy(self, small, mode, proxy, nft, number):
        configure(small, mode, proxy)
        with_nft(small, f"nftables v{nft} (Old Doc Yak)\n")

        assert len(small.findings(self.CHECK)) == number

    def test_other_output_is_an_error(self, small):
        configure(small, "")
        with_nft(small, "nft: cannot execute\n")

        with pytest.raises(FactMissingError, match="unrecognised"):
            small.findings(self.CHECK)

    def test_without_nft_it_does_not_apply(self, small):
        configure(small, "")
        with pytest.raises(NotApplicable, match="was not read"):
            small.findings(self.CHECK)

        with_nft(small, "", problem="not asked: the node has no nft")
        with pytest.raises(NotApplicable, match="has no nft"):
            small.findings(self.CHECK)

    def test_the_agents_own_nft_does_not_count(self, small):
        configure(small, "")
        with_nft(small, "nftables v0.9.3 (E.D.S.)\n", lent=True)

        with pytest.raises(NotApplicable, match="has no nft"):
            small.findings(self.CHECK)


class TestLegacyIptables:
    CHECK = "deprecations.legacy_iptables"

    RULES = "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j ACCEPT\n-A OUTPUT -j ACCEPT\nCOMMIT\n"

    def test_legacy_rules_are_found(self, small):
        small.change_output("iptables-legacy-save", self.RULES)

        (finding,) = small.findings(self.CHECK)
        assert str(finding.subject) == "Node n1 iptables-legacy"
        assert finding.found == "2 rules"
        assert finding.evidence[:2] == ("-A PREROUTING -j ACCEPT", "-A OUTPUT -j ACCEPT")

    @pytest.mark.parametrize(
        ("version", "number"),
        [
            ("iptables v1.8.4 (legacy)", 1),
            ("iptables v1.6.1", 1),
            ("iptables v1.8.7 (nf_tables)", 0),
        ],
    )
    def test_plain_iptables_may_be_the_legacy_one(self, small, version, number):
        unasked = Command(["iptables-nft-save"], problem="not asked: the only variant")
        small.change_document(commands={**small.document.commands, "iptables-nft-save": unasked})
        small.change_output("iptables-version", version)
        small.change_output("iptables-save", self.RULES)

        assert len(small.findings(self.CHECK)) == number

    def test_a_loaded_table_without_rules_is_not_used(self, small):
        small.change_file("/proc/net/ip_tables_names", "nat")
        small.change_output("iptables-legacy-save", "*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n")

        assert not small.findings(self.CHECK)

    @pytest.mark.parametrize(
        ("system", "number"),
        [
            ("Red Hat Enterprise Linux 10.1 (Coughlan)", 1),
            ("AlmaLinux 10.1 (Heliotrope Lion)", 1),
            ("Rocky Linux 10.0 (Red Quartz)", 1),
            ("CentOS Stream 10 (Coughlan)", 1),
            ("Red Hat Enterprise Linux 9.10 (Plow)", 0),
            ("Rocky Linux 8.10 (Green Obsidian)", 0),
            ("Debian GNU/Linux 12 (bookworm)", 0),
            ("Alpine Linux v3.10", 0),
        ],
    )
    def test_a_system_without_iptables_is_found(self, small, system, number):
        configure(small, "iptables")
        on_kernel(small, "6.12.0", system)

        assert len(small.findings(self.CHECK)) == number

    def test_nftables_mode_works_there(self, small):
        configure(small, "nftables")
        on_kernel(small, "6.12.0", "Rocky Linux 10.0 (Red Quartz)")

        assert not small.findings(self.CHECK)

    def test_the_nft_variant_passes(self, small):
        assert not small.findings(self.CHECK)


class TestNodePorts:
    CHECK = "deprecations.node_ports"

    @pytest.fixture
    def open_(self, small):
        configure(small, "")
        add_node_port(small)
        return small

    def test_packets_on_localhost_are_found(self, open_):
        count(open_, f"# HELP {LOCALHOST} …\n{LOCALHOST} 1234\n")

        (finding,) = open_.findings(self.CHECK)
        assert finding.found == "1,234 packets to node ports on localhost"

    @pytest.mark.parametrize("number", ["0", "0.0"])
    def test_no_packets_pass(self, open_, number):
        count(open_, f'{LOCALHOST}{{ip_family="IPv4"}} {number}\n')

        assert not open_.findings(self.CHECK)

    def test_use_of_a_secondary_address_is_found(self, open_):
        own = next(each for each in open_.document.namespaces if each.inode == HOST)
        open_.change_netns(HOST, addresses=[*own.addresses, Address(2, "192.0.2.77", 32)])
        places = {"192.0.2.77:30443/tcp": 9, "192.0.2.1:30443/tcp": 5, "192.0.2.77:22/tcp": 2}
        open_.change_document(new_connections=NewConnections(2.0, 16, destinations=places))

        (finding,) = open_.findings(self.CHECK)
        assert finding.found == "new connections to 192.0.2.77:30443/tcp (9)"

    def test_unknown_use_is_not_a_pass(self, open_):
        with pytest.raises(NotApplicable, match="does not count packets"):
            open_.findings(self.CHECK)

    def test_without_node_ports_it_does_not_apply(self, small):
        configure(small, "")

        with pytest.raises(NotApplicable, match="no Service has a node port"):
            small.findings(self.CHECK)


class TestHostPorts:
    CHECK = "deprecations.host_ports"
    RULE = (
        "-A CNI-DN-0123456789abcdef -p tcp -m tcp --dport 8088 -j DNAT --to-destination "
        "10.244.0.3:8080"
    )
    NAT = f"*nat\n:CNI-DN-0123456789abcdef - [0:0]\n{RULE}\nCOMMIT\n"

    @pytest.mark.parametrize("mode", ["", "nftables", "ipvs"])
    def test_rules_of_iptables_are_found_where_nftables_comes(self, small, mode):
        configure(small, mode)
        add_host_port(small)
        small.change_output("iptables-nft-save", self.NAT)

        (finding,) = small.findings(self.CHECK)
        assert finding.found == "iptables rules for host ports: shop/web 8088/tcp"
        assert finding.evidence[0] == self.RULE

    def test_host_ports_elsewhere_pass(self, small):
        configure(small, "nftables")
        add_host_port(small)

        assert not small.findings(self.CHECK)

    def test_iptables_mode_stays(self, small):
        configure(small, "iptables")
        add_host_port(small)

        with pytest.raises(NotApplicable, match="which stays"):
            small.findings(self.CHECK)

    def test_without_host_ports_it_does_not_apply(self, small):
        configure(small, "")

        with pytest.raises(NotApplicable, match="no pod of the node"):
            small.findings(self.CHECK)


class TestTheCniPlugin:
    CHECK = "deprecations.cni_plugin"
    RULES = "*filter\n:cali-FORWARD - [0:0]\n-A cali-FORWARD -j ACCEPT\nCOMMIT\n"

    @pytest.mark.parametrize("mode", ["", "nftables", "ipvs"])
    def test_calicos_iptables_rules_are_found_where_nftables_comes(self, small, mode):
        configure(small, mode)
        small.change_output("iptables-nft-save", self.RULES)

        (finding,) = small.findings(self.CHECK)
        assert finding.evidence[0] == "-A cali-FORWARD -j ACCEPT"

    def test_other_rules_pass(self, small):
        configure(small, "")

        assert not small.findings(self.CHECK)

    def test_iptables_mode_stays(self, small):
        configure(small, "iptables")
        small.change_output("iptables-nft-save", self.RULES)

        with pytest.raises(NotApplicable, match="which stays"):
            small.findings(self.CHECK)


@pytest.mark.parametrize(
    "check",
    [
        "default_proxy_mode",
        "ipvs_mode",
        "nftables_kernel",
        "node_ports",
        "host_ports",
        "cni_plugin",
    ],
)
def test_without_kube_proxy_its_modes_do_not_matter(small, check):
    links = next(each.links for each in small.document.namespaces if each.inode == HOST)
    small.change_netns(HOST, links=[*links, replace(links[0], index=99, name="cilium_host")])

    with pytest.raises(NotApplicable):
        small.findings(f"deprecations.{check}")
