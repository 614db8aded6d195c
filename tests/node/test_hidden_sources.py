"""What pods send to pods of other nodes with the node's address instead of their own."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import FILTER, SmallCluster

CHECK = "pods.addresses_kept"
KIND = "-A POSTROUTING -m addrtype ! --dst-type LOCAL -j KIND-MASQ-AGENT"
AGENT = "-A POSTROUTING -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT"
FLANNEL = "-A POSTROUTING -j FLANNEL-POSTRTG"


def nat(*rules: str) -> str:
    names = dict.fromkeys(rule.split()[1] for rule in rules if " POSTROUTING " not in rule)
    declared = "".join(f":{name} - [0:0]\n" for name in names)
    text = "".join(f"{rule}\n" for rule in rules)
    end = "COMMIT\n# Completed on Mon Nov 23 02:36:05 2026\n"
    return f"{FILTER}*nat\n:POSTROUTING ACCEPT [0:0]\n{declared}{text}{end}"


@pytest.mark.parametrize(
    ("rules", "is_found"),
    [
        ([KIND, "-A KIND-MASQ-AGENT -d 10.244.0.0/16 -j RETURN"], False),
        ([KIND], True),
        # Another cluster's range is all that is left.
        ([KIND, "-A KIND-MASQ-AGENT -d 10.245.0.0/16 -j RETURN"], True),
        ([AGENT, "-A IP-MASQ-AGENT -d 10.0.0.0/8 -j RETURN"], False),
        ([AGENT, "-A IP-MASQ-AGENT -d 169.254.0.0/16 -j RETURN"], True),
        ([FLANNEL, "-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN"], False),
        ([FLANNEL, "-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j RETURN"], True),
    ],
)
def test_a_lost_exception_for_pods_is_found_with_the_rule(
    small: SmallCluster, rules: list[str], *, is_found: bool
) -> None:
    chain = rules[0].rpartition(" ")[2]
    masquerade = f"-A {chain} -m comment --comment cluster -j MASQUERADE --random-fully"
    small.change_output("iptables-nft-save", nat(*rules, masquerade))

    findings = small.findings(CHECK)
    assert [each.evidence for each in findings] == [(masquerade,)] * is_found
    assert all("pods of n2" in each.found and "IPv4" in each.subject.part for each in findings)


@pytest.mark.parametrize(
    ("rule", "is_found"),
    [
        ("-A POSTROUTING -o ens3 -j MASQUERADE", False),
        ("-A POSTROUTING -o flannel.1 -j MASQUERADE", True),
        ("-A POSTROUTING -s 10.244.0.0/24 ! -o cni0 -j MASQUERADE", True),
        ("-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE", False),
        ("-A POSTROUTING -s 10.0.0.0/8 -j SNAT --to-source 192.0.2.1", True),
        ("-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE", False),
        ("-A POSTROUTING -p tcp -m tcp --dport 80 -j MASQUERADE", False),
    ],
)
def test_rules_of_other_programs_count_if_they_match_in_any_case(
    small: SmallCluster, rule: str, *, is_found: bool
) -> None:
    small.change_output("iptables-nft-save", nat(rule))

    assert [each.evidence for each in small.findings(CHECK)] == [(rule,)] * is_found


def test_what_depends_on_an_unknown_set_is_inconclusive(small: SmallCluster) -> None:
    some = "-A POSTROUTING -m set --match-set pods src -m set ! --match-set pods dst -j MASQUERADE"
    small.change_output("iptables-nft-save", nat(some))

    (finding,) = small.check(CHECK)
    assert "not known" in finding.inconclusive
