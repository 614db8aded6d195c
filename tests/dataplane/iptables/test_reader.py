"""The iptables reader on rules that the recorded nodes do not have."""

import pytest

from tests.dataplane import small
from tests.dataplane.small import NAT, WEB, service
from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Differences, Kind
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.iptables.rules import make_step
from wirecheck.dataplane.rules.steps import Opaque
from wirecheck.dataplane.table import Client, Frontend, Handling, Verdict
from wirecheck.snapshot.objects.service import ClientIpConfig, SessionAffinityConfig


def kinds(found: object) -> set[Kind]:
    return {each.kind for each in found}


def test_the_healthy_rules_have_no_difference() -> None:
    assert not small.differences({"nat": NAT}).items


@pytest.mark.parametrize("chain", ["KUBE-SEP-A", "KUBE-SEP-B"])
def test_a_local_backend_must_be_able_to_reach_itself(chain: str) -> None:
    host = {"KUBE-SEP-A": "10.244.1.2", "KUBE-SEP-B": "10.244.2.3"}[chain]
    rule = f"-A {chain} -s {host}/32 -j KUBE-MARK-MASQ\n"
    found = small.differences({"nat": NAT.replace(rule, "")})
    assert kinds(found) == ({Kind.HAIRPIN} if chain == "KUBE-SEP-A" else set())


def test_unknown_marks_masquerade_nothing() -> None:
    found = small.differences(
        {"nat": NAT.replace("--set-xmark 0x4000/0x4000", "--set-xmark 0x8/0x8")}
    )
    assert kinds(found) == {Kind.MASQUERADE, Kind.HAIRPIN}


def test_masquerading_that_ends_before_it_starts() -> None:
    rule = "-A POSTROUTING -j ACCEPT\n    -A POSTROUTING -j KUBE-POSTROUTING"
    found = small.differences({"nat": NAT.replace("-A POSTROUTING -j KUBE-POSTROUTING", rule)})
    assert Kind.MASQUERADE in kinds(found)


def test_what_others_masquerade_is_not_the_services_business() -> None:
    rules = """-A POSTROUTING -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE
    -A POSTROUTING -s 10.244.1.9/32 -j ACCEPT
    -A POSTROUTING -j KUBE-POSTROUTING"""
    assert not small.differences(
        {"nat": NAT.replace("-A POSTROUTING -j KUBE-POSTROUTING", rules)}
    ).items


def test_port_mappings_of_containers_are_no_stale_services() -> None:
    rules = """-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
    -A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 8088 -j CNI-DN-1
    -A CNI-DN-1 -p tcp -m tcp --dport 8088 -j DNAT --to-destination 10.244.1.9:80
    -A DOCKER -i docker0 -j RETURN
    -A DOCKER ! -i docker0 -p tcp -m tcp --dport 9000 -j DNAT --to-destination 172.17.0.2:80
    -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
    """
    assert not small.differences({"nat": rules + NAT}).items


def test_a_service_that_is_gone_is_stale() -> None:
    rule = "-A KUBE-SERVICES -d 10.96.0.99/32 -p udp -m udp --dport 53 -j KUBE-SEP-C\n"
    endpoint = "-A KUBE-SEP-C -p udp -m udp -j DNAT --to-destination 10.244.1.5:53\n"
    (found,) = small.differences({"nat": NAT + rule + endpoint})
    assert found.kind is Kind.FRONTEND_STALE
    assert found.frontend == Frontend(4, "10.96.0.99", "udp", 53)
    assert found.owner is None
    assert found.evidence == (rule.strip(), endpoint.strip())


def test_chains_that_nothing_leads_to_do_not_matter() -> None:
    rule = "-A KUBE-SVC-OLD -d 10.96.0.99/32 -p udp -m udp --dport 53 -j KUBE-SEP-OLD\n"
    endpoint = "-A KUBE-SEP-OLD -p udp -m udp -j DNAT --to-destination 10.244.1.5:53\n"
    assert not small.differences({"nat": NAT + rule + endpoint}).items


def test_a_chain_that_does_not_exist_is_not_understood() -> None:
    found = small.differences({"nat": NAT.replace("-j KUBE-SEP-B", "-j KUBE-SEP-Z")})
    assert kinds(found) == {Kind.NOT_UNDERSTOOD}
    assert "KUBE-SEP-Z" in found.items[0].found


def test_chains_that_form_a_loop_are_not_understood() -> None:
    found = small.differences({"nat": NAT + "-A KUBE-SEP-B -j KUBE-SVC-WEB\n"})
    assert not found.items
    looped = NAT.replace("-A KUBE-SVC-WEB -j KUBE-SEP-B", "-A KUBE-SVC-WEB -j KUBE-SVC-WEB")
    assert kinds(small.differences({"nat": looped})) == {Kind.NOT_UNDERSTOOD}


def test_a_rule_with_bytes_that_are_no_text_concerns_only_its_destination() -> None:
    other = "-A KUBE-SERVICES -d 10.96.0.21/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-\ufffd\n"
    assert not small.differences({"nat": NAT + other}).items
    own = NAT.replace("-j KUBE-SEP-B", "-j KUBE-SEP-\ufffd")
    assert kinds(small.differences({"nat": own})) == {Kind.NOT_UNDERSTOOD}


def test_goto_does_not_come_back() -> None:
    text = NAT.replace("-j KUBE-SVC-WEB", "-g KUBE-SVC-WEB")
    assert not small.differences({"nat": text}).items
    empty = NAT.replace(
        "-A KUBE-SERVICES -d",
        "-A KUBE-SERVICES -d 10.96.0.20/32 -g EMPTY\n-A EMPTY\n-A KUBE-SERVICES -d",
    )
    assert kinds(small.differences({"nat": empty})) == {Kind.FRONTEND_MISSING}


class TestNodeLocalDns:
    """NOTRACK for an address that the node answers on itself."""

    RAW = """-A PREROUTING -d 10.96.0.20/32 -p tcp -m tcp --dport 80 -j NOTRACK
    -A OUTPUT -d 10.96.0.20/32 -p tcp -m tcp --dport 80 -j CT --notrack"""

    def test_is_tolerated_where_the_node_has_the_address(self) -> None:
        found = small.differences({"raw": self.RAW, "nat": NAT}, "169.254.20.10", "10.96.0.20")
        assert not found.items

    def test_is_a_black_hole_where_it_has_not(self) -> None:
        found = small.differences({"raw": self.RAW, "nat": NAT})
        assert kinds(found) == {Kind.VERDICT}
        assert "exempt from NAT" in found.items[0].found


class TestPolicyOfOthers:
    """Refusals in raw, mangle and filter."""

    def test_under_conditions_of_their_own_are_left_out(self) -> None:
        mangle = "-A PREROUTING -m rpfilter --validmark --invert -j DROP"
        assert not small.differences({"mangle": mangle, "nat": NAT}).items

    def test_without_conditions_count(self) -> None:
        raw = "-A PREROUTING -d 10.96.0.20/32 -j DROP"
        found = small.differences({"raw": raw, "nat": NAT})
        assert kinds(found) == {Kind.VERDICT}
        assert Client.NODE not in found.items[0].clients

    def test_for_some_sources_show_as_sources(self) -> None:
        raw = "-A PREROUTING -s 10.244.1.0/25 -d 10.96.0.20/32 -j DROP"
        (found,) = small.differences({"raw": raw, "nat": NAT})
        assert (found.kind, found.clients) == (Kind.SOURCES, (Client.POD,))
        assert found.found == "only from 10.244.1.128/25"

    def test_after_forwarding_are_left_out(self) -> None:
        rules = "-A FORWARD -d 10.244.0.0/16 -j DROP\n-A FORWARD -j DROP"
        assert not small.differences({"nat": NAT, "filter": rules}).items

    def test_are_no_services_to_be_stale(self) -> None:
        rules = (
            "-A INPUT -p tcp -m tcp --dport 22 -j DROP\n-A INPUT -p udp -m udp --dport 9 -j REJECT"
        )
        assert not small.differences({"nat": NAT, "filter": rules}).items


class TestTwoBackends:
    """Both iptables-nft and iptables-legacy have rules."""

    def test_leftovers_in_the_other_backend_act(self) -> None:
        stray = "-A PREROUTING -d 10.96.0.20/32 -p tcp -j DNAT --to-destination 10.9.9.9:80"
        found = small.differences({"nat": NAT}, legacy={"nat": stray})
        assert Kind.BACKEND_STALE in kinds(found)
        assert {each.backend for each in found if each.kind is Kind.BACKEND_STALE} == {
            Backend("10.9.9.9", 80)
        }

    def test_rules_about_something_else_do_not(self) -> None:
        assert not small.differences(
            {"nat": NAT}, legacy={"filter": "-A INPUT -i lo -j ACCEPT"}
        ).items


RECALL = (
    "-A KUBE-SVC-WEB -m recent --rcheck --seconds 10800 --reap --name {name} "
    "--mask 255.255.255.255 --rsource -j {name}\n    "
)
CHOICE = "-A KUBE-SVC-WEB -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A\n"


class TestSessionAffinity:
    """Rules of `recent` that send returning clients to the backend that they had."""

    def sticky(self, *recalled_first: str, recalled_late: str = "", nat: str = NAT) -> Differences:
        """Found with these backends recalled before the random choice, and this one behind it."""
        assert CHOICE in nat
        first = "".join(RECALL.format(name=name) for name in recalled_first)
        late = RECALL.format(name=recalled_late) if recalled_late else ""
        nat = nat.replace(CHOICE, f"{first}{CHOICE}    {late}")
        for name in ("KUBE-SEP-A", "KUBE-SEP-B"):
            remember = f"-m recent --set --name {name} --mask 255.255.255.255 --rsource"
            nat = nat.replace(f"-A {name} -p tcp", f"-A {name} -p tcp {remember}")
        settings = SessionAffinityConfig(ClientIpConfig(10800))
        web = service(session_affinity="ClientIP", session_affinity_config=settings)
        wanted = small.expected([web], small.WEB_TABLE[1])
        return compare(wanted, read_iptables({4: small.save({"nat": nat})}, small.clients()))

    def test_holds_where_all_backends_are_recalled_first(self) -> None:
        assert not self.sticky("KUBE-SEP-A", "KUBE-SEP-B").items

    def test_does_not_hold_behind_a_random_choice(self) -> None:
        """It may have sent the returning client to another backend."""
        (found,) = self.sticky("KUBE-SEP-A", recalled_late="KUBE-SEP-B")
        assert (found.kind, found.expected) == (Kind.AFFINITY, "affinity of 10800 s")
        assert found.found == "no affinity or affinity of 10800 s"

    @pytest.mark.parametrize("new", ["", CHOICE.replace("0.5", "0.0").replace("SEP-A", "SEP-C")])
    def test_of_a_backend_that_is_gone_is_stale(self, new: str) -> None:
        """Its returning clients are still sent there, though no new ones are."""
        gone = f"{new}-A KUBE-SEP-C -p tcp -m tcp -j DNAT --to-destination 10.244.3.4:8080\n"
        found = self.sticky(
            "KUBE-SEP-C", "KUBE-SEP-A", "KUBE-SEP-B", nat=NAT.replace(CHOICE, f"{CHOICE}{gone}")
        )
        (stale,) = [each for each in found if each.kind is Kind.BACKEND_STALE]
        assert stale.backend == Backend("10.244.3.4", 8080)


def read(nat: str, cache: ReaderCache | None = None) -> Handling:
    table = read_iptables({4: small.save({"nat": nat})}, small.clients(), cache=cache)
    return table.handling(WEB, Client.POD)


def test_what_was_read_of_another_node_is_not_used_where_rules_differ() -> None:
    cache = ReaderCache()
    backends = read(NAT, cache).backends
    assert [str(each) for each in backends] == ["10.244.1.2:8080", "10.244.2.3:8080"]
    changed = NAT.replace("--to-destination 10.244.2.3:8080", "--to-destination 10.9.9.9:1")
    assert Backend("10.9.9.9", 1) in read(changed, cache).backends
    assert Backend("10.9.9.9", 1) not in read(NAT, cache).backends
    shadowed = NAT.replace(
        "-A PREROUTING -j", "-A PREROUTING -d 10.96.0.20/32 -j ACCEPT\n-A PREROUTING -j"
    )
    assert read(shadowed, cache).verdict is Verdict.NOTHING
    unmasked = NAT.replace("-j MASQUERADE --random-fully", "-j RETURN")
    assert not read(unmasked, cache).hairpin
    assert read(NAT, cache).hairpin


def test_what_was_read_of_another_node_is_used_where_rules_are_the_same() -> None:
    cache = ReaderCache()
    assert read(NAT, cache) is read(NAT, cache)


def test_more_distinctions_than_can_be_followed_are_not_understood() -> None:
    rules = "".join(
        f"-A PREROUTING -m foo --bar {number} -d 10.96.0.20/32 -j ACCEPT\n" for number in range(12)
    )
    handling = read(rules + NAT)
    assert handling.verdict is Verdict.NOT_UNDERSTOOD


def test_ipv6_is_read_by_its_own_rules() -> None:
    six = (
        "-A PREROUTING -d fd00:96::20/128 -p tcp -m tcp --dport 80 "
        "-j DNAT --to-destination [fd00:10::2]:8080"
    )
    table = read_iptables({4: "", 6: small.save({"nat": six})}, small.clients())
    (frontend,) = table.entries
    assert str(frontend) == "[fd00:96::20]:80/tcp"
    handling = table.handling(frontend, Client.OUTSIDE)
    assert [str(each) for each in handling.backends] == ["[fd00:10::2]:8080"]


@pytest.mark.parametrize(
    "target",
    [
        "DNAT [unsupported revision]",
        "DNAT --to-destination :0 --persistent --to-destination :0",
        "DNAT --to-destination 0.0.0.0:80",
        "DNAT --to-destination [::]:80",
        "DNAT --to-destination 10.244.1.5:0",
        "DNAT --to-destination 10.244.1.5:80 --to-destination 10.244.1.6:80",
    ],
)
def test_a_target_that_the_tool_cannot_print_is_no_backend(target):
    steps = [make_step(f"-A KUBE-SEP-C -p tcp -m tcp -j {target}")]

    (action,) = steps[0].actions
    assert isinstance(action, Opaque)
    assert steps[0].protocol == "tcp"
