"""nftables tables of other programs, as the checks of the firewall and of egress see them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.checks.small_cluster import FILTER, SmallCluster
from tests.dataplane.nftables.tables import DROP, SADDR, listing_of, match
from wirecheck.catalogue.findings import Level, NotApplicable
from wirecheck.snapshot.node_document import Command

FOLDER = Path(__file__).parents[1] / "recorded" / "nft-tables"
ADMIN = "inet admin"


def with_table(small: SmallCluster, label: str, text: str, **fields: object) -> None:
    """The node has the table beside those of iptables."""
    commands = dict(small.document.commands)
    argv = ["nft", "-j", "list", "table", *label.split()]
    record = {"argv": argv, "status": 0, "output": text, **fields}
    commands[f"nft-table {label}"] = Command(**record)  # type: ignore[arg-type]
    names = f"table ip filter\ntable {label}\n"
    commands["nft-tables"] = Command(["netlink"], status=0, output=names)
    small.change_document(commands=commands)


def recorded(name: str, *replaced: tuple[str, str]) -> str:
    text = (FOLDER / f"{name}.json").read_text()
    for each, new in replaced:
        text = text.replace(each, new)
    return text


def of(small: SmallCluster, check: str) -> list[str]:
    return [each.subject.part for each in small.findings(check)]


def test_firewalld_rejects_packets_between_pods(small):
    with_table(small, "inet firewalld", recorded("firewalld", ("eth0", "ens3")))

    findings = small.findings("firewall.forwards_pods")
    assert [each.subject.part for each in findings] == [
        "FORWARD to pods of n2",
        "FORWARD from pods of n2",
    ]
    assert {each.evidence for each in findings} == {
        ("nftables table inet firewalld: chain filter_FORWARD: reject",)
    }
    assert all("`nft list table {table}`" in each.remedy for each in findings)
    assert {dict(each.names)["table"] for each in findings} == {"inet firewalld"}


def test_firewalld_that_trusts_the_pods_forwards_them(small):
    with_table(small, "inet firewalld", recorded("firewalld-trusted", ("eth0", "ens3")))

    assert of(small, "firewall.forwards_pods") == []
    assert of(small, "firewall.forwards_dns") == []


@pytest.mark.parametrize("name", ["crowdsec", "docker", "flannel", "netavark", "talos", "fail2ban"])
def test_tables_that_forward_pods(small, name):
    of_family, table = {
        "crowdsec": ("ip", "crowdsec"),
        "docker": ("ip", "docker-bridges"),
        "flannel": ("ip", "flannel-ipv4"),
        "netavark": ("inet", "netavark"),
        "talos": ("inet", "talos"),
        "fail2ban": ("inet", "f2b-table"),
    }[name]
    with_table(small, f"{of_family} {table}", recorded(name))

    assert of(small, "firewall.forwards_pods") == []
    assert of(small, "firewall.forwards_dns") == []


def test_a_policy_of_a_table_is_named_with_the_table(small):
    with_table(small, ADMIN, json.dumps(listing_of(hook="forward", of="inet", policy="drop")))

    found = [each.evidence[0] for each in small.findings("firewall.forwards_pods")]
    assert found == ["nftables table inet admin: policy DROP of first: no rule accepts it"] * 2


@pytest.mark.parametrize(
    ("hook", "name", "found"),
    [
        ("input", "crowdsec", "ip saddr @crowdsec-blacklists-crowdsec drop"),
        ("prerouting", "", "ip saddr { 198.51.100.7 } drop"),
    ],
)
def test_a_block_list_is_reported_once_with_its_table(small, hook, name, found):
    rule = [match(SADDR, {"set": ["198.51.100.7"]}), DROP]
    text = recorded(name) if name else json.dumps(listing_of(rule, hook=hook))
    label = "ip crowdsec" if name else "ip admin"
    with_table(small, label, text)

    (finding,) = small.findings("firewall.source_bans")
    assert finding.subject.part.startswith(f"nftables table {label}: ")
    assert finding.subject.part.endswith(found)
    assert finding.level is Level.WARN


def test_a_block_list_with_too_many_elements_to_be_listed_is_reported_as_well(small):
    text = recorded("crowdsec", ('"198.51.100.7"', '"198.51.100.8"'))
    argv = ["nft", "-j", "-t", "list", "table", "ip", "crowdsec"]
    with_table(small, "ip crowdsec", text, argv=argv)

    (finding,) = small.findings("firewall.source_bans")
    assert finding.level is Level.WARN


def test_a_ban_of_another_node_in_a_table_fails(small):
    rule = [match(SADDR, "192.0.2.2"), DROP]
    with_table(small, "ip admin", json.dumps(listing_of(rule, hook="input", priority=0)))

    (finding,) = small.findings("firewall.source_bans")
    assert finding.level is Level.FAIL
    assert "192.0.2.2/32" in finding.found


@pytest.mark.parametrize(
    "fields",
    [
        {"output": "not JSON"},
        {"output": "", "status": None, "problem": "time limit"},
        {"output": "", "status": None, "problem": "too large"},
        {"output": "", "status": 1},
    ],
)
def test_a_table_that_could_not_be_listed_is_one_whose_rules_are_not_known(small, fields):
    with_table(small, ADMIN, **{"text": "", **fields})
    small.change_output("iptables-nft-save", "")

    with pytest.raises(NotApplicable, match="not read: inet admin"):
        small.findings("firewall.forwards_pods")


@pytest.mark.parametrize("hook", ["ingress", "egress"])
def test_a_table_with_chains_of_devices_is_one_whose_rules_are_not_known(small, hook):
    with_table(small, ADMIN, json.dumps(listing_of([DROP], hook=hook, of="inet")))
    small.change_output("iptables-nft-save", "")

    with pytest.raises(NotApplicable, match="not read: inet admin"):
        small.findings("firewall.forwards_pods")


def test_a_table_that_was_not_read_leaves_open_whether_pods_are_forwarded(small):
    small.change_output("nft-tables", "table inet firewalld\ntable ip cni_hostport\n")

    (finding,) = small.findings("firewall.forwards_pods")
    assert finding.subject.part == "nftables table inet firewalld"
    assert "not read" in finding.inconclusive


def test_the_policy_of_iptables_still_counts(small):
    with_table(small, "inet firewalld", recorded("firewalld-trusted", ("eth0", "ens3")))
    kept = [line for line in FILTER.splitlines() if "-A FLANNEL-FWD" not in line]
    small.change_output("iptables-nft-save", "\n".join(kept) + "\n")

    assert len(of(small, "firewall.forwards_pods")) == 2
