"""What was seen of a node: facts, or the reason why they are missing."""

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.seen import ABSENT, NodeSeen
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import Command

WITHOUT_DOCUMENT = [each for each in VisitStatus if not each.reached]


@pytest.fixture
def seen() -> NodeSeen:
    return SmallCluster().node.seen


def changed(seen: NodeSeen, **fields: object) -> NodeSeen:
    document = replace(seen.facts, **fields)
    return NodeSeen(seen.cluster, seen.object, seen.visit, document)


@pytest.mark.parametrize("status", WITHOUT_DOCUMENT)
def test_without_a_document_the_reason_of_the_visit_is_raised(
    seen: NodeSeen, status: VisitStatus
) -> None:
    visit = VisitRecord(status, reason="no route to host")
    unseen = NodeSeen(seen.cluster, seen.object, visit, None)
    expected = NotApplicable if status.out_of_scope else FactMissingError

    with pytest.raises(expected, match="no route to host"):
        _ = unseen.facts
    with pytest.raises(expected):
        unseen.sysctl("net.ipv4.ip_forward")


def test_a_sysctl_is_read_by_its_name_with_dots(seen: NodeSeen) -> None:
    node = changed(seen, files={"/proc/sys/net/ipv4/ip_forward": "1\n"})

    assert node.sysctl("net.ipv4.ip_forward") == "1"
    assert node.number("net.ipv4.ip_forward") == 1
    assert node.sysctl("net.bridge.bridge-nf-call-iptables") == ABSENT


@pytest.mark.parametrize("text", ["", "-1", "lots"])
def test_a_sysctl_that_is_not_a_number_is_an_error(seen: NodeSeen, text: str) -> None:
    node = changed(seen, files={"/proc/sys/net/ipv4/ip_forward": text})

    with pytest.raises(FactMissingError, match="not a number"):
        node.number("net.ipv4.ip_forward")


def test_a_file_that_was_not_read_is_an_error_with_its_path(seen: NodeSeen) -> None:
    with pytest.raises(FactMissingError, match="/etc/nothing does not exist on n1"):
        seen.file("/etc/nothing")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (Command(["nft"], problem="not found"), "nft on n1: not found"),
        (Command(["nft"], status=1, stderr="denied"), "nft on n1: exit status 1: denied"),
        (Command(["nft"], problem="time limit", seconds=9.0), "it had run for 9 s"),
        (Command(["nft"], problem="time limit"), "it had not started"),
    ],
)
def test_a_command_that_failed_is_an_error_with_the_cause(
    seen: NodeSeen, command: Command, reason: str
) -> None:
    node = changed(seen, commands={"nft-tables": command})

    with pytest.raises(FactMissingError, match=reason):
        node.output_of("nft-tables")
    with pytest.raises(FactMissingError, match=reason):
        node.output_if_asked("nft-tables")


def test_a_command_without_a_reason_to_run_has_no_output(seen: NodeSeen) -> None:
    command = Command(["nft"], problem="not asked: kube-proxy is in iptables mode")

    assert changed(seen, commands={"nft-tables": command}).output_if_asked("nft-tables") == ""


class TestRequired:
    def test_a_value_is_returned_as_it_is(self, seen: NodeSeen) -> None:
        assert seen.required(0, Fact.TRAFFIC, "an older document") == 0

    def test_without_a_problem_it_is_not_applicable(self, seen: NodeSeen) -> None:
        with pytest.raises(NotApplicable, match="an older document"):
            seen.required(None, Fact.TRAFFIC, "an older document")

    def test_with_a_problem_it_is_an_error(self, seen: NodeSeen) -> None:
        (stage,) = Fact.TRAFFIC.measured.stages
        node = changed(seen, problems=[f"{stage}: permission denied."])

        with pytest.raises(FactMissingError, match=r"n1: .*permission denied"):
            node.required(None, Fact.TRAFFIC, "an older document")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (-11, "SIGSEGV ended it: it crashed"),
        (139, "SIGSEGV ended it: it crashed"),
        (-6, "SIGABRT ended it: it crashed"),
        (-9, "SIGKILL ended it: the kernel does so if memory runs out"),
        (137, "SIGKILL ended it"),
        (-15, "SIGTERM ended it"),
        (1, "exit status 1: no rights"),
        (255, "exit status 255: no rights"),
        (-200, "exit status -200: no rights"),
    ],
)
def test_a_tool_that_a_signal_ended_is_named_with_it(
    seen: NodeSeen, status: int, words: str
) -> None:
    died = changed(
        seen, commands={"nft-kube-proxy": Command(["nft", "-j"], status=status, stderr="no rights")}
    )

    with pytest.raises(FactMissingError, match=f"nft -j on n1: {words}"):
        died.output_of("nft-kube-proxy")
