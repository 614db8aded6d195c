import pytest

from testbed import network
from testbed.commands import Ended
from testbed.layout import SUBNETS, Layout


class Machine:
    """The rules of DOCKER-USER, by program, and the other commands that were run."""

    def __init__(self) -> None:
        self.rules: dict[str, list[str]] = {"iptables": [], "ip6tables": []}
        self.isolated = {"iptables"}
        """Where Docker has its chains."""
        self.others: list[str] = []

    def attempt(self, argv: list[str], **_: object) -> Ended:
        program, rule = argv[0], " ".join(argv[4:])
        if program not in self.rules:
            self.others.append(" ".join(argv))
            return Ended(0, "", "")
        verb = argv[2]
        if program not in self.isolated:
            return Ended(1, "", "No chain/target/match by that name.")
        if verb == "-I":
            self.rules[program].insert(0, rule)
        elif verb in ("-D", "-C"):
            if rule not in self.rules[program]:
                return Ended(1, "", "Bad rule (does a matching rule exist in that chain?).")
            if verb == "-D":
                self.rules[program].remove(rule)
        return Ended(0, "", "")

    def run(self, argv: list[str], **_: object) -> str:
        assert self.attempt(argv).status == 0
        return ""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(network, "run", made.run)
    monkeypatch.setattr(network, "attempt", made.attempt)
    return made


def test_pods_addresses_pass_between_the_nodes_and_nowhere_else(machine: Machine) -> None:
    network.hand_on_pod_addresses()

    assert machine.rules == {"iptables": ["-i wc-br0 -o wc-br0 -j ACCEPT"], "ip6tables": []}


def test_each_family_that_docker_isolates_gets_the_rule(machine: Machine) -> None:
    machine.isolated.add("ip6tables")
    network.hand_on_pod_addresses()

    assert machine.rules["iptables"] == machine.rules["ip6tables"] != []


def test_the_rule_goes_with_the_network_however_often_it_is_there(machine: Machine) -> None:
    machine.rules["iptables"] = ["-j RETURN"]
    for _ in range(3):
        network.hand_on_pod_addresses()
    assert network.remains() == ["a rule of iptables in DOCKER-USER"]
    network.remove()

    assert machine.rules["iptables"] == ["-j RETURN"]
    assert network.remains() == []


def test_an_encapsulating_network_changes_no_rule_of_the_machine(machine: Machine) -> None:
    network.create(Layout(SUBNETS[0]))
    network.remove()

    assert machine.rules == {"iptables": [], "ip6tables": []}
