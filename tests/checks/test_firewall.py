"""The checks of the node's filter, each on a cluster whose rules are changed."""

import json

import pytest

from tests.checks.small_cluster import FILTER, HOST, SmallCluster
from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable


def first(small: SmallCluster, *rules: str, chains: str = "") -> None:
    """Put rules before all others of FORWARD."""
    text = FILTER.replace("-A INPUT -j", "".join(f"{each}\n" for each in rules) + "-A INPUT -j", 1)
    small.change_output("iptables-nft-save", text.replace("-A", chains + "-A", 1))


def dropped(small: SmallCluster, check: str) -> list[tuple[str, str]]:
    return [(e.subject.part, *e.evidence) for e in small.findings(f"firewall.{check}")]


def test_a_policy_without_an_exception_is_found(small):
    kept = [line for line in FILTER.splitlines() if "-A FLANNEL-FWD" not in line]
    small.change_output("iptables-nft-save", "\n".join(kept) + "\n")

    policy = "policy DROP of FORWARD: no rule accepts it"
    assert dropped(small, "forwards_pods") == [
        ("FORWARD to pods of n2", policy),
        ("FORWARD from pods of n2", policy),
    ]
    assert len(dropped(small, "forwards_dns")) == 2


@pytest.mark.parametrize(
    ("rule", "parts"),
    [
        ("-A FORWARD -j DROP", ["to pods of n2", "from pods of n2"]),
        ("-A FORWARD -j REJECT --reject-with icmp-host-prohibited", ["to pods", "from pods"]),
        ("-A FORWARD -i flannel.1 -j DROP", ["from pods of n2"]),
        ("-A FORWARD -o flannel+ -j DROP", ["to pods of n2"]),
        ("-A FORWARD ! -i cni0 -j DROP", ["from pods of n2"]),
        ("-A FORWARD -d 10.244.1.0/24 -j DROP", ["to pods of n2"]),
        ("-A FORWARD -m conntrack --ctstate NEW -j DROP", ["to pods", "from pods"]),
        ("-A FORWARD -m mark --mark 0x0/0x4000 -j DROP", ["to pods", "from pods"]),
    ],
)
def test_a_rule_that_comes_first_and_ends_connections_is_found(small, rule, parts):
    first(small, rule)

    found = dropped(small, "forwards_pods")
    assert len(found) == len(parts)
    for (part, evidence), wanted in zip(found, parts, strict=True):
        assert part.startswith(f"FORWARD {wanted}")
        assert evidence == rule


@pytest.mark.parametrize(
    ("accepted", "is_found"),
    [
        ("RELATED,ESTABLISHED,DNAT", True),
        ("RELATED,ESTABLISHED", True),
        ("NEW,RELATED,ESTABLISHED,DNAT", False),
    ],
)
def test_a_rule_for_translated_connections_does_not_accept_those_to_pods(small, accepted, is_found):
    """firewalld with iptables: Services work, as their connections are translated."""
    reject = "-A FORWARD -j REJECT --reject-with icmp-host-prohibited"
    first(small, f"-A FORWARD -m conntrack --ctstate {accepted} -j ACCEPT", reject)

    assert [rule for _, rule in dropped(small, "forwards_pods")] == [reject] * 2 * is_found
    assert not dropped(small, "forwards_dns") or accepted == "RELATED,ESTABLISHED"


def test_a_rule_against_all_but_translated_connections_is_found(small):
    refuse = "-A FORWARD -m conntrack ! --ctstate ESTABLISHED,DNAT -j DROP"
    first(small, refuse)

    assert [rule for _, rule in dropped(small, "forwards_pods")] == [refuse] * 2
    assert not dropped(small, "forwards_dns")


@pytest.mark.parametrize(
    "rule",
    [
        "-A FORWARD -p tcp -m tcp --dport 25 -j DROP",
        "-A FORWARD -i docker0 -j DROP",
        "-A FORWARD -s 192.168.0.0/16 -j DROP",
        "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
        "-A FORWARD -m set --match-set banned src -j DROP",
        "-A FORWARD -m limit --limit 5/sec -j ACCEPT",
        "-A FORWARD -m mark --mark 0x4000/0x4000 -j DROP",
        "-A FORWARD -p udp -j DROP",
    ],
)
def test_a_rule_about_other_packets_is_none_against_pods(small, rule):
    first(small, rule)
    assert not dropped(small, "forwards_pods")


@pytest.mark.parametrize(
    ("rules", "is_found"),
    [
        (["-A FORWARD -j MINE", "-A MINE -j DROP"], True),
        (["-A FORWARD -j MINE", "-A MINE -j RETURN", "-A MINE -j DROP"], False),
        (["-A FORWARD -g MINE", "-A MINE -j RETURN"], True),
        (["-A FORWARD -m set --match-set some src -j MINE", "-A MINE -j DROP"], False),
        (["-A FORWARD -j MINE", "-A MINE -m recent --set -j RETURN", "-A MINE -j DROP"], False),
        (["-A FORWARD -j MINE", "-A MINE -j MARK --set-xmark 0x4000/0x4000"], False),
    ],
    ids=["dropped", "returned", "the policy", "perhaps called", "perhaps returned", "marked"],
)
def test_chains_are_followed(small, rules, is_found):
    first(small, *rules, chains=":MINE - [0:0]\n")
    assert bool(dropped(small, "forwards_pods")) == is_found


def test_a_rule_against_dns_over_udp_is_found(small):
    rule = "-A FORWARD -p udp -m udp --dport 53 -j DROP"
    first(small, rule)

    assert dropped(small, "forwards_dns") == [("FORWARD DNS over UDP to 10.244.0.2", rule)]


def test_rules_of_the_legacy_variant_act_as_well(small):
    text = FILTER.replace("-A INPUT", "-A FORWARD -j DROP\n-A INPUT", 1)
    small.change_output("iptables-legacy-save", text.replace("nf_tables", "legacy"))

    assert {e for _, e in dropped(small, "forwards_pods")} == {"-A FORWARD -j DROP"}


@pytest.mark.parametrize(
    ("jump", "base", "chain"),
    [
        ("-A INPUT -j KUBE-FIREWALL\n", "IPv4 INPUT", "KUBE-FIREWALL"),
        ("-A OUTPUT -j KUBE-FIREWALL\n", "IPv4 OUTPUT", "KUBE-FIREWALL"),
        (
            '-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD\n',
            "IPv4 FORWARD",
            "KUBE-FORWARD",
        ),
    ],
)
def test_a_chain_that_is_not_called_is_found(small, jump, base, chain):
    assert jump in FILTER
    small.change_output("iptables-nft-save", FILTER.replace(jump, ""))

    (finding,) = small.findings("firewall.kubernetes_chains_called")
    assert (finding.subject.part, finding.expected) == (base, f"a jump to {chain}")
    # The remedy is the check's own: the owner is kube-proxy or the kubelet.
    assert (finding.remedy, finding.key) == ("", "")


@pytest.mark.parametrize(
    ("command", "output", "manager"),
    [
        ("nft-tables", "table ip filter\ntable inet firewalld\n", "firewalld"),
        (
            "iptables-nft-save",
            FILTER.replace(":FLANNEL-FWD", ":ufw-before-forward - [0:0]\n:FLANNEL-FWD"),
            "ufw",
        ),
    ],
)
def test_another_manager_of_rules_warns(small, command, output, manager):
    small.change_output(command, output)

    (finding,) = small.findings("firewall.single_manager")
    assert (finding.subject.part, finding.level) == (manager, Level.WARN)


def test_legacy_rules_beside_those_of_kubernetes_warn(small):
    legacy = FILTER.replace("nf_tables", "legacy").replace("KUBE-", "MINE-")
    small.change_output("iptables-legacy-save", legacy)

    (finding,) = small.findings("firewall.single_iptables_variant")
    assert (finding.found, finding.level) == ("10 rules", Level.WARN)


def test_malformed_rules_are_an_error(small):
    small.change_output("iptables-nft-save", FILTER.replace("COMMIT", "COMMIT?"))
    with pytest.raises(FactMissingError, match="malformed"):
        small.findings("firewall.forwards_pods")


def test_a_node_without_iptables_is_skipped(small):
    small.change_output("iptables-nft-save", "")
    with pytest.raises(NotApplicable, match="no iptables rules"):
        small.findings("firewall.forwards_pods")


def listing(*rules: list[dict], policy: str = "accept") -> str:
    """A table of kube-proxy in nftables mode with one forward chain."""
    base = {"family": "ip", "table": "kube-proxy", "handle": 1}
    hook = {"type": "filter", "hook": "forward", "prio": -110, "policy": policy}
    items = [
        {"metainfo": {"version": "1.0.9", "release_name": "x", "json_schema_version": 1}},
        {"table": {"family": "ip", "name": "kube-proxy", "handle": 1}},
        {"chain": {**base, "name": "filter-forward", **hook}},
        *({"rule": {**base, "chain": "filter-forward", "expr": rule}} for rule in rules),
    ]
    return json.dumps({"nftables": items})


DROP = {"drop": None}


def match(left: dict, right: object) -> dict:
    return {"match": {"op": "==", "left": left, "right": right}}


@pytest.mark.parametrize("keeps_iptables", [True, False])
@pytest.mark.parametrize(
    ("rule", "parts"),
    [
        ([DROP], ["to pods of n2", "from pods of n2"]),
        ([match({"meta": {"key": "iifname"}}, "flannel.1"), DROP], ["from pods of n2"]),
        ([match({"meta": {"key": "oifname"}}, "flannel*"), DROP], ["to pods of n2"]),
        ([match({"meta": {"key": "iifname"}}, "docker0"), DROP], []),
        ([match({"ct": {"key": "state"}}, "new"), DROP], ["to pods of n2", "from pods of n2"]),
        ([match({"ct": {"key": "state"}}, "invalid"), DROP], []),
        ([{"limit": {"rate": 5, "per": "second", "inv": True}}, DROP], []),
    ],
    ids=["all", "a device", "devices", "another device", "new", "invalid", "a rate"],
)
def test_rules_of_nftables_are_read(small, rule, parts, keeps_iptables):
    if not keeps_iptables:
        small.change_output("iptables-nft-save", "")
    small.change_output("nft-kube-proxy", listing(rule))
    small.change_output("nft-kube-proxy6", "")

    found = [part for part, _ in dropped(small, "forwards_pods")]
    assert found == [f"FORWARD {part}" for part in parts]


def test_a_policy_of_nftables_is_found(small):
    small.change_output("nft-kube-proxy", listing(policy="drop"))
    small.change_output("nft-kube-proxy6", "")

    assert {e for _, e in dropped(small, "forwards_pods")} == {
        "policy DROP of filter-forward: no rule accepts it"
    }


def test_tables_that_are_known_by_name_only_are_named(small):
    small.change_output("iptables-nft-save", "")
    small.change_output("nft-tables", "table ip filter\ntable inet firewalld\n")

    with pytest.raises(NotApplicable, match=r"not read: inet firewalld$"):
        small.findings("firewall.forwards_pods")


def table(name: str, *rules: str, chains: str = "") -> str:
    """One table of iptables-save."""
    bases = {"filter": ["INPUT", "FORWARD", "OUTPUT"]}.get(name, ["PREROUTING", "OUTPUT"])
    declared = "".join(f":{each} ACCEPT [0:0]\n" for each in bases)
    text = "\n".join(rules)
    return (
        "# Generated by iptables-nft-save v1.8.9 (nf_tables) on Mon Nov 23 02:36:05 2026\n"
        f"*{name}\n{declared}{chains}{text}\nCOMMIT\n"
        "# Completed on Mon Nov 23 02:36:05 2026\n"
    )


def bans(small: SmallCluster, text: str) -> list[tuple[str, Level]]:
    small.change_output("iptables-nft-save", FILTER + text)
    return [(e.subject.part, e.level) for e in small.findings("firewall.source_bans")]


@pytest.mark.parametrize("name", ["raw", "mangle"])
@pytest.mark.parametrize(
    "rule",
    [
        "-A PREROUTING -s 198.51.100.77/32 -j DROP",
        "-A PREROUTING -s 198.51.100.0/24 -i ens3 -j DROP",
        "-A PREROUTING -m set --match-set crowdsec-blacklists src -j DROP",
        "-A PREROUTING -m geoip --src-cc XX -j DROP",
        "-A PREROUTING -p tcp -m tcp --dport 53 -s 203.0.113.0/24 -j REJECT",
        "-A PREROUTING -i eth1 -j DROP",
    ],
)
def test_a_ban_is_a_warning_with_its_rule(small, name, rule):
    assert bans(small, table(name, rule)) == [(rule, Level.WARN)]


def test_each_rule_of_a_block_list_is_reported_once(small):
    rules = [f"-A PREROUTING -s {each} -j DROP" for each in ("224.0.0.0/3", "0.0.0.0/8")]
    assert bans(small, table("mangle", *rules)) == [(each, Level.WARN) for each in rules]


def test_a_long_block_list_is_cut(small):
    rules = [f"-A f2b -s 198.51.100.{each}/32 -j REJECT" for each in range(100)]
    found = bans(small, table("mangle", "-A PREROUTING -j f2b", *rules, chains=":f2b - [0:0]\n"))

    assert len(found) == 21
    assert "79 more rules" in small.findings("firewall.source_bans")[-1].found


@pytest.mark.parametrize(
    "rule",
    [
        "-A PREROUTING -m conntrack --ctstate INVALID -j DROP",
        "-A PREROUTING -s 198.51.100.77/32 -p tcp -m tcp --dport 22 -j DROP",
        "-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP",
        "-A PREROUTING -p tcp -m tcp --dport 53 -m limit --limit 10/sec -j DROP",
        "-A PREROUTING -s 198.51.100.77/32 -j LOG",
        "-A PREROUTING -s 198.51.100.77/32 -j ACCEPT",
    ],
)
def test_what_bans_no_client_of_a_service_is_not_reported(small, rule):
    assert bans(small, table("raw", rule)) == []


@pytest.mark.parametrize(
    ("rule", "cut"),
    [
        ("-A PREROUTING -s 10.0.0.0/8 -j DROP", "10.244.0.0/23"),
        ("-A PREROUTING -s 192.0.2.0/24 -j DROP", "192.0.2.2/32"),
        ("-A PREROUTING ! -s 198.51.100.0/24 -j DROP", "10.244.0.0/23"),
        ("-A PREROUTING -s 10.244.1.0/24 -i flannel.1 -j DROP", "10.244.1.0/24"),
    ],
)
def test_a_ban_of_the_cluster_fails(small, rule, cut):
    assert bans(small, table("raw", rule)) == [(rule, Level.FAIL)]
    assert cut in small.findings("firewall.source_bans")[0].found


@pytest.mark.parametrize(
    ("rules", "level"),
    [
        (["-A INPUT -s 192.0.2.2/32 -j DROP"], Level.FAIL),
        (["-A INPUT -s 192.0.2.0/24 -j REJECT"], Level.FAIL),
        (["-A INPUT -i ens3 -s 192.0.2.2/32 -j DROP"], Level.FAIL),
        (
            [
                "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
                "-A INPUT -s 192.0.2.2/32 -j DROP",
            ],
            Level.FAIL,
        ),
        (
            ["-A INPUT -s 192.0.2.2/32 -p tcp -j ACCEPT", "-A INPUT -s 192.0.2.2/32 -j DROP"],
            Level.WARN,
        ),
        (["-A INPUT -s 192.0.2.2/32 -p tcp -j DROP"], Level.FAIL),
        (["-A INPUT -s 192.0.2.2/32 -p udp -j REJECT"], Level.FAIL),
        (["-A INPUT -s 192.0.2.2/32 -p udp -m udp --dport 8472 -j DROP"], Level.FAIL),
        (["-A INPUT -s 192.0.2.1/32 -j DROP"], Level.WARN),
        (["-A INPUT -s 10.244.1.0/24 -j DROP"], Level.WARN),
        (["-A INPUT -s 198.51.100.7/32 -j DROP"], Level.WARN),
    ],
)
def test_a_ban_in_chain_input_fails_where_it_is_of_another_node(small, rules, level):
    """What other nodes send here is for the kubelet, the overlay and node ports."""
    small.change_link(HOST, "flannel.1", vxlan_port=8472)
    first(small, *rules, chains="")

    (finding,) = small.findings("firewall.source_bans")
    assert finding.level is level
    assert ("of the cluster" in finding.found) is (level is Level.FAIL)


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -s 192.0.2.2/32 -p tcp -m tcp --dport 22 -j DROP",
        "-A INPUT -s 203.0.113.0/24 -p udp -m udp --dport 8472 -j DROP",
        "-A INPUT -s 203.0.113.0/24 -p udp -j DROP",
        "-A INPUT ! -i lo -p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN -j DROP",
        "-A INPUT -p tcp -m hashlimit --hashlimit-above 9/sec --hashlimit-mode srcip -j DROP",
        "-A INPUT -p tcp -m connlimit --connlimit-above 9 --connlimit-saddr -j REJECT",
    ],
)
def test_what_neither_services_nor_other_nodes_need_may_be_refused(small, rule):
    first(small, rule, chains="")

    assert small.findings("firewall.source_bans") == []


def test_a_list_behind_a_rule_for_everything_from_elsewhere_shows_its_own_rules(small):
    """As ConfigServer Firewall has it."""
    lists = [f"-A DENYIN -s 203.0.113.{each}/32 ! -i lo -j DROP" for each in (7, 9)]
    rules = ["-A INPUT ! -i lo -j LOCALINPUT", "-A LOCALINPUT ! -i lo -j DENYIN", *lists]
    first(small, *rules, chains=":LOCALINPUT - [0:0]\n:DENYIN - [0:0]\n")

    assert [each.subject.part for each in small.findings("firewall.source_bans")] == lists


@pytest.mark.parametrize(
    ("rule", "version", "is_doubted"),
    [
        ("-A FORWARD -p tcp -j DROP", "v1.8.7", True),
        ("-A FORWARD -j DROP", "v1.8.4", True),
        ("-A FORWARD -p tcp -m comment --comment x -j REJECT", "v1.8.2", True),
        ("-A FORWARD -s 10.244.0.0/16 -j DROP", "v1.8.7", False),
        ("-A FORWARD -m conntrack --ctstate NEW -j DROP", "v1.8.7", False),
        ("-A FORWARD -p tcp -j DROP", "v1.8.8", False),
        ("-A FORWARD -p tcp -j DROP", "v1.8.9 (nf_tables)", False),
    ],
)
def test_a_rule_that_an_old_iptables_may_print_in_part_is_inconclusive(
    small, rule, version, is_doubted
):
    first(small, rule)
    text = small.document.commands["iptables-nft-save"].output
    small.change_output("iptables-nft-save", text.replace("v1.8.9 (nf_tables)", version))

    found = small.findings("firewall.forwards_pods")
    assert len(found) == 2
    assert all(bool(each.inconclusive) is is_doubted for each in found)
    assert not is_doubted or version.removeprefix("v") in found[0].inconclusive


@pytest.mark.parametrize(
    ("version", "level"), [("v1.8.7", Level.WARN), ("v1.8.9 (nf_tables)", Level.FAIL)]
)
def test_a_ban_whose_port_may_be_lost_is_no_failure(small, version, level):
    first(small, "-A INPUT -s 192.0.2.2/32 -p tcp -j DROP", chains="")
    text = small.document.commands["iptables-nft-save"].output
    small.change_output("iptables-nft-save", text.replace("v1.8.9 (nf_tables)", version))

    (finding,) = small.findings("firewall.source_bans")
    assert finding.level is level


def test_where_ebpf_forwards_packets_chain_forward_decides_nothing(small):
    kept = [line for line in FILTER.splitlines() if "-A FLANNEL-FWD" not in line]
    small.change_output("iptables-nft-save", "\n".join(kept) + "\n")
    owner = {"kind": "DaemonSet", "name": "cilium", "controller": True}
    small.api["pods"][2]["metadata"]["ownerReferences"] = [owner]

    findings = small.findings("firewall.forwards_dns")
    assert findings
    assert {each.inconclusive for each in findings} == {
        "Cilium may forward packets of pods in eBPF, past chain FORWARD"
    }


@pytest.mark.parametrize(
    "rule",
    [
        "-A PREROUTING -s 10.244.1.0/24 -i eth9 -j DROP",
        "-A PREROUTING -s 192.0.2.1/32 -j DROP",
        "-A PREROUTING -s 10.244.0.0/16 -d 10.96.0.10/32 -j DROP",
    ],
)
def test_a_ban_that_cuts_off_the_cluster_in_part_only_is_a_warning(small, rule):
    assert bans(small, table("raw", rule)) == [(rule, Level.WARN)]


def test_a_ban_of_a_node_s_external_address_is_a_warning(small):
    """Nodes with an InternalIP do not send to each other from their ExternalIPs."""
    small.api["nodes"][1]["status"]["addresses"].append(
        {"type": "ExternalIP", "address": "203.0.113.2"}
    )
    rule = "-A PREROUTING -s 203.0.113.0/24 -j DROP"
    assert bans(small, table("raw", rule)) == [(rule, Level.WARN)]

    small.api["nodes"][1]["status"]["addresses"].pop(0)
    assert bans(small, table("raw", rule)) == [(rule, Level.FAIL)]


def test_a_list_of_allowed_sources_is_a_ban_of_all_others(small):
    rules = ["-A PREROUTING -s 198.51.100.0/24 -j ACCEPT", "-A PREROUTING -i ens3 -j DROP"]
    assert bans(small, table("raw", *rules)) == [(rules[1], Level.WARN)]


CALICO = (
    "-A PREROUTING -j cali-PREROUTING",
    "-A cali-PREROUTING -i cali+ -j MARK --set-xmark 0x40000/0x40000",
    "-A cali-PREROUTING -j cali-from-host-endpoint",
    "-A cali-from-host-endpoint -i ens3 -g cali-fh-ens3",
    "-A cali-fh-ens3 -p tcp -m tcp --dport 22 -j cali-allow",
    "-A cali-fh-ens3 -m mark --mark 0x10000/0x10000 -j RETURN",
    "-A cali-fh-ens3 -j DROP",
    "-A cali-allow -j MARK --set-xmark 0x10000/0x10000",
)


def test_the_policy_of_an_interface_is_no_ban(small):
    chains = dict.fromkeys(each.split()[1] for each in CALICO if "-A PRE" not in each)
    declared = "".join(f":{each} - [0:0]\n" for each in chains)
    assert bans(small, table("raw", *CALICO, chains=declared)) == []


def test_the_policy_of_pods_for_the_node_itself_is_no_ban(small):
    first(
        small,
        "-A INPUT -i cali+ -j cali-wl-to-host",
        "-A cali-wl-to-host -j DROP",
        "-A INPUT -s 198.51.100.7/32 -j REJECT",
        chains="",
    )
    text = small.document.commands["iptables-nft-save"].output
    text = text.replace(":KUBE-FORWARD", ":cali-wl-to-host - [0:0]\n:KUBE-FORWARD", 1)
    small.api["services"][0]["spec"]["ports"][0]["nodePort"] = 30053
    small.change_output("iptables-nft-save", text)

    found = small.findings("firewall.source_bans")
    assert [each.subject.part for each in found] == ["-A INPUT -s 198.51.100.7/32 -j REJECT"]


def test_a_rule_after_others_that_accept_is_never_a_failure(small):
    ban = "-A PREROUTING -s 10.0.0.0/8 -j DROP"
    rules = ["-A PREROUTING -m mark --mark 0x1/0x1 -j ACCEPT", ban]
    assert bans(small, table("raw", *rules)) == [(rules[1], Level.WARN)]
    rules[0] = "-A PREROUTING -i lo -j ACCEPT"
    assert bans(small, table("raw", *rules)) == [(rules[1], Level.FAIL)]


def test_a_policy_of_the_other_variant_names_the_mix(small):
    docker = table("filter", "-A FORWARD -i docker0 -j ACCEPT").replace("FORWARD ACC", "FORWARD DR")
    small.change_output("iptables-legacy-save", FILTER.replace("nf_tables", "legacy"))
    small.change_output("iptables-nft-save", docker.replace("FORWARD DREPT", "FORWARD DROP"))

    finding, *_ = small.findings("firewall.forwards_pods")
    assert "in the nft variant of iptables; Kubernetes accepts it in the legacy" in finding.found
    assert "Restart that program" in finding.remedy
    assert dict(finding.names)["variant"] == "legacy"


@pytest.mark.parametrize(
    ("rules", "number"),
    [
        (["-A FORWARD -o docker0 -j ACCEPT"], 1),
        (["-A INPUT -j KUBE-FIREWALL", "-A KUBE-FIREWALL -j RETURN"], 0),
        ([], 0),
    ],
)
def test_rules_of_the_nft_variant_beside_kubernetes_legacy_rules_warn(small, rules, number):
    legacy = table("nat", "-A PREROUTING -j KUBE-SERVICES", "-A KUBE-SERVICES -j RETURN")
    legacy = legacy.replace("-A PRE", ":KUBE-SERVICES - [0:0]\n-A PRE", 1)
    small.change_output("iptables-legacy-save", legacy.replace("nf_tables", "legacy"))
    chains = ":KUBE-FIREWALL - [0:0]\n"
    small.change_output("iptables-nft-save", table("filter", *rules, chains=chains))

    found = small.findings("firewall.single_iptables_variant")
    assert [each.found for each in found] == [f"{number} rules"] * bool(number)


OUTSIDE = "FORWARD from clients outside, IPv4"
UPLINK = "-A FORWARD -i ens3 -j DROP"


def open_a_node_port(small: SmallCluster) -> None:
    spec = small.api["services"][1]["spec"]
    spec["type"] = "NodePort"
    spec["ports"][1]["nodePort"] = 30053


@pytest.mark.parametrize(
    ("rules", "is_found"),
    [
        ([UPLINK], True),
        (["-A FORWARD -i ens3 -o cni0 -j REJECT --reject-with icmp-port-unreachable"], True),
        (["-A FORWARD -i ens3 -o docker0 -j DROP"], False),
        (["-A FORWARD -i flannel.2 -j DROP"], False),
        # A rule for the port of a Service's endpoint accepts some clients.
        (
            ["-A FORWARD -i ens3 -p tcp -m tcp --dport 53 -j ACCEPT", UPLINK],
            False,
        ),
        (
            ["-A FORWARD -i ens3 -p tcp -m tcp --dport 22 -j ACCEPT", UPLINK],
            True,
        ),
        (
            ["-A FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT", UPLINK],
            False,
        ),
        (["-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT", UPLINK], False),
        # A ban of addresses is listed as such, and what concerns all pods is a failure.
        (["-A FORWARD ! -s 10.0.0.0/8 -j DROP"], False),
        (["-A FORWARD -j DROP"], False),
    ],
)
def test_clients_outside_that_reach_no_pod_are_a_warning(small, rules, *, is_found):
    open_a_node_port(small)
    first(small, *rules)

    found = [e for e in small.findings("firewall.forwards_pods") if e.subject.part == OUTSIDE]
    assert [(each.level, each.evidence) for each in found] == (
        [(Level.WARN, (rules[-1],))] if is_found else []
    )


def test_without_a_port_for_clients_outside_their_packets_do_not_matter(small):
    first(small, UPLINK)

    assert small.findings("firewall.forwards_pods") == []
