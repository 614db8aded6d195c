"""What says that a node masquerades what its pods send outside."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from tests.checks.small_cluster import HOST, SmallCluster, api_pod, link
from wirecheck.node.egress_settings import SUBNET, EgressSettings
from wirecheck.snapshot.cni_files import CniConfiguration, CniFiles

POD, POD6 = ip_address("10.244.0.2"), ip_address("fd00:42::2")
OUTSIDE, OUTSIDE6 = ip_address("8.8.8.8"), ip_address("2001:4860:4860::8888")
FLANNEL = (
    "FLANNEL_SUBNET = 10.244.0.1/24\nFLANNEL_IPV6_SUBNET=fd00:42::1/64\n FLANNEL_IPMASQ = true \n"
)


@pytest.fixture
def bare(small: SmallCluster) -> SmallCluster:
    """A node on which nothing says that it masquerades."""
    small.api["pods"] = small.api["pods"][:2]
    small.change_document(cni=None)
    return small


def setting(small: SmallCluster, pod: Any = POD) -> str:
    """The setting that masquerades the pod's packets; empty if there is none."""
    outside = OUTSIDE if pod.version == 4 else OUTSIDE6
    found = EgressSettings(small.node.seen).of(pod, outside)
    return found.text if found else ""


def run(small: SmallCluster, name: str, *, on_host: bool = True) -> None:
    pod = api_pod(name, "kube-system", "192.0.2.1")
    pod["spec"]["hostNetwork"] = on_host
    small.api["pods"].append(pod)


def add_pool(small: SmallCluster, cidr: str, *, is_on: bool = True) -> None:
    pools = small.api.setdefault("ipPools", [])
    name = f"pool-{len(pools)}"
    pools.append({"metadata": {"name": name}, "spec": {"cidr": cidr, "natOutgoing": is_on}})


class TestFlannel:
    @pytest.mark.parametrize(
        ("text", "is_on"),
        [
            (FLANNEL, True),
            (FLANNEL.replace("true", "false"), False),
            (FLANNEL.replace("10.244.0.1", "10.9.0.1"), False),
            ("FLANNEL_IPMASQ=true\n", False),
            ("FLANNEL_IPMASQ=true\nFLANNEL_SUBNET=damaged\n", False),
            ("", False),
        ],
    )
    def test_it_masquerades_the_pods_of_its_subnet(
        self, bare: SmallCluster, text: str, is_on: bool
    ) -> None:
        bare.change_file(SUBNET, text)

        assert setting(bare) == ("FLANNEL_IPMASQ=true in /run/flannel/subnet.env" if is_on else "")

    @pytest.mark.parametrize(
        ("name", "on_host", "is_on"),
        [
            ("kube-flannel-ds-abcde", True, True),
            ("kube-flannel-ds-abcde", False, False),
            ("other", True, False),
            ("", True, False),
        ],
    )
    def test_ipv6_needs_flannels_own_pod(
        self, bare: SmallCluster, name: str, on_host: bool, is_on: bool
    ) -> None:
        bare.change_file(SUBNET, FLANNEL)
        run(bare, "other-agent")
        if name:
            run(bare, name, on_host=on_host)

        assert bool(setting(bare, POD6)) is is_on
        assert setting(bare)


class TestPools:
    @pytest.mark.parametrize(
        ("pools", "expected"),
        [
            ([("10.244.0.0/16", True)], "natOutgoing of IPPool pool-0"),
            ([("10.244.0.0/16", False)], ""),
            ([("10.9.0.0/16", True)], ""),
            ([("10.244.0.0/16", True), ("10.244.0.0/24", False)], ""),
            ([("10.244.0.0/24", False), ("10.244.0.0/16", True)], ""),
            ([("10.244.0.0/16", False), ("10.244.0.0/24", True)], "natOutgoing of IPPool pool-1"),
            ([("10.244.0.0/16", True), ("8.8.0.0/16", False)], ""),
            ([("damaged", True), ("10.244.0.0/16", True)], "natOutgoing of IPPool pool-1"),
        ],
    )
    def test_the_smallest_pool_with_the_pod_decides(
        self, bare: SmallCluster, pools: list[tuple[str, bool]], expected: str
    ) -> None:
        for cidr, is_on in pools:
            add_pool(bare, cidr, is_on=is_on)

        assert setting(bare) == expected

    def test_a_program_of_calico_masquerades_without_rules(self, bare: SmallCluster) -> None:
        settings = EgressSettings(bare.node.seen)
        assert not settings.knows_pools

        assert bare.document
        device = link(80, "bpfout.cali")
        bare.change_netns(HOST, links=[*bare.document.namespaces[0].links, device])
        assert EgressSettings(bare.node.seen).knows_pools
        add_pool(bare, "10.244.0.0/16")
        assert setting(bare) == ""

    def test_pools_that_were_read_are_known(self, bare: SmallCluster) -> None:
        add_pool(bare, "10.9.0.0/16", is_on=False)

        assert EgressSettings(bare.node.seen).knows_pools

    @pytest.mark.parametrize(
        ("pools", "expected"),
        [
            ([("10.244.0.0/16", True)], {"masq-ipam-pools src"}),
            ([("10.244.0.0/16", False)], set()),
            ([("10.9.0.0/16", True)], set()),
            (
                [("10.244.0.0/16", False), ("8.8.0.0/16", False)],
                {"all-ipam-pools dst", "network-ip-pools dst"},
            ),
        ],
    )
    def test_the_pools_show_which_sets_have_the_addresses(
        self, bare: SmallCluster, pools: list[tuple[str, bool]], expected: set[str]
    ) -> None:
        for cidr, is_on in pools:
            add_pool(bare, cidr, is_on=is_on)
        names = {"masq-ipam-pools src", "all-ipam-pools dst", "network-ip-pools dst",
                 "all-hosts-net dst", "all-tunnel-net dst"}  # fmt: skip
        found = dict(EgressSettings(bare.node.seen).set_memberships(POD, OUTSIDE))

        assert found == {
            f"-m set {sign}--match-set cali40{name}": (name in expected) is (sign == "")
            for name in names
            for sign in ("", "! ")
        }

    def test_the_sets_of_ipv6_have_names_of_their_own(self, bare: SmallCluster) -> None:
        assert dict(EgressSettings(bare.node.seen).set_memberships(POD6, OUTSIDE6)) == {}
        add_pool(bare, "fd00:42::/64")

        found = dict(EgressSettings(bare.node.seen).set_memberships(POD6, OUTSIDE6))
        assert found["-m set --match-set cali60masq-ipam-pools src"] is True


@pytest.mark.parametrize(("is_on", "expected"), [(True, True), (False, False), (None, False)])
def test_the_plugin_bridge_masquerades_each_pod_with_ip_masq(
    bare: SmallCluster, is_on: bool | None, expected: bool
) -> None:
    used = CniConfiguration("10-a.conflist", "a", ["bridge"], ip_masq=is_on)
    unused = CniConfiguration("20-b.conflist", "b", ["bridge"], ip_masq=True)
    bare.change_document(cni=CniFiles([used, unused]))
    found = EgressSettings(bare.node.seen).of(POD, OUTSIDE)

    assert (found is not None) is expected
    assert not found or (found.text, found.is_for_each_pod) == ("ipMasq in 10-a.conflist", True)


class TestAgents:
    @pytest.mark.parametrize(
        ("name", "families", "may_exempt"),
        [
            ("kindnet-abcde", {4, 6}, False),
            ("ip-masq-agent-abcde", {4}, True),
            ("azure-ip-masq-agent-abcde", {4}, True),
            ("my-kindnet-abcde", set(), False),
        ],
    )
    def test_an_agent_masquerades_its_families(
        self, bare: SmallCluster, name: str, families: set[int], may_exempt: bool
    ) -> None:
        run(bare, "other")
        run(bare, name)
        settings = EgressSettings(bare.node.seen)
        found = {4: settings.of(POD, OUTSIDE), 6: settings.of(POD6, OUTSIDE6)}

        assert {family for family, each in found.items() if each} == families
        assert {each.may_exempt for each in found.values() if each} <= {may_exempt}

    def test_a_pod_of_its_name_with_its_own_netns_is_not_the_agent(
        self, bare: SmallCluster
    ) -> None:
        run(bare, "kindnet-abcde", on_host=False)

        assert setting(bare) == ""

    def configure(self, small: SmallCluster, name: str, text: str | None) -> None:
        meta = {"name": name, "namespace": "kube-system"}
        data = {} if text is None else {"config": text}
        small.api.setdefault("configMaps", []).append({"metadata": meta, "data": data})

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("nonMasqueradeCIDRs: [10.0.0.0/8]", "ConfigMap ip-masq-agent"),
            ("nonMasqueradeCIDRs: [8.8.0.0/16]", ""),
            ("nonMasqueradeCIDRs: {damaged", "ip-masq-agent-abcde runs on the node"),
            (None, "ip-masq-agent-abcde runs on the node"),
        ],
    )
    def test_its_config_map_says_what_it_leaves_alone(
        self, bare: SmallCluster, text: str | None, expected: str
    ) -> None:
        run(bare, "ip-masq-agent-abcde")
        self.configure(bare, "other", "nonMasqueradeCIDRs: [0.0.0.0/0]")
        self.configure(bare, "ip-masq-agent", text)

        assert setting(bare) == expected

    def test_another_agent_does_not_read_it(self, bare: SmallCluster) -> None:
        run(bare, "azure-ip-masq-agent-abcde")
        self.configure(bare, "ip-masq-agent", "nonMasqueradeCIDRs: [0.0.0.0/0]")

        assert setting(bare) == "azure-ip-masq-agent-abcde runs on the node"
