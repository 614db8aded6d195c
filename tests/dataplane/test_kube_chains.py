"""The closed list of kube-proxy's and the kubelet's chains."""

import pytest

from wirecheck.dataplane.kube_chains import (
    has_kubernetes_chains,
    is_kubernetes,
    is_kubernetes_rule,
)

OWN = [
    "KUBE-SERVICES",
    "KUBE-SVC-NPX46M4PTMTKRN6Y",
    "KUBE-XLB-HN4MSA2Y5VOFXZ72",
    "KUBE-NODEPORTS",
    "KUBE-NODE-PORT",
    "KUBE-IPVS-OUT-FILTER",
    "KUBE-KUBELET-CANARY",
]
OTHERS = [
    "KUBE-HOSTPORTS",
    "KUBE-HP-WLTFZLTJ4QV7FRX3",
    "KUBE-ROUTER-FORWARD",
    "KUBE-POD-FW-YA3VDJ3GMYPJJR4F",
    "KUBE-NWPLCY-DEFAULT",
    "KUBE-NODEPORTS-MINE",
    "CNI-HOSTPORT-DNAT",
]


@pytest.mark.parametrize("chain", OWN)
def test_chains_of_kubernetes_are_recognised(chain):
    assert is_kubernetes(chain)
    assert has_kubernetes_chains(f"*nat\n:{chain} - [0:0]\n")
    assert is_kubernetes_rule(f"-A {chain} -p tcp -j ACCEPT")
    assert is_kubernetes_rule(f'-A PREROUTING -m comment --comment "x" -j {chain}')


@pytest.mark.parametrize("chain", OTHERS)
def test_chains_of_other_programs_are_not(chain):
    assert not is_kubernetes(chain)
    assert not has_kubernetes_chains(f"*nat\n:{chain} - [0:0]\n-A PREROUTING -j {chain}\n")
    assert not is_kubernetes_rule(f"-A {chain} -p tcp -j DNAT --to-destination 10.0.0.1:80")
    assert not is_kubernetes_rule(f"-A PREROUTING -j {chain}")


def test_a_third_party_rule_may_call_kube_mark_masq():
    assert not is_kubernetes_rule("-A MINE -s 10.0.0.1/32 -j KUBE-MARK-MASQ")
