"""The script that takes rules away and puts them back, with the real iptables in a namespace."""

import subprocess
import sys

import pytest

from testbed.faults.fault import load_faults

FAULTS = {fault.name: fault for fault in load_faults()}
TAKE = FAULTS["jumps-lost-to-a-restore"].inject[0]

SETUP = """
mount -t tmpfs none /run || exit 77
for chain in KUBE-ROUTER-FORWARD KUBE-PROXY-FIREWALL KUBE-FORWARD; do
    iptables -N $chain || exit 77
done
iptables -A FORWARD -m comment --comment "kube-router netpol" -j KUBE-ROUTER-FORWARD
for chain in INPUT FORWARD OUTPUT; do
    iptables -A $chain -m conntrack --ctstate NEW -m comment \\
        --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL || exit 77
done
iptables -A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
iptables-save -t filter | grep ^-A
echo
"""

pytestmark = pytest.mark.needs("root", "unshare", "mount", "iptables")


def rules_after(*calls: list[str]) -> list[list[str]]:
    """The rules at first, and after each call of the script with these arguments."""
    runs = "".join(
        f'"$1" -c "$2" {" ".join(repr(word) for word in words)} || exit 1\n'
        "iptables-save -t filter | grep ^-A\necho\n"
        for words in calls
    )
    ended = subprocess.run(
        [
            "unshare",
            "--mount",
            "--net",
            "sh",
            "-c",
            SETUP + runs,
            "sh",
            sys.executable,
            TAKE.script,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if ended.returncode == 77:
        pytest.skip(f"iptables cannot be used here: {ended.stderr}")
    assert ended.returncode == 0, ended.stderr
    return [part.splitlines() for part in ended.stdout.strip().split("\n\n")]


def test_rules_are_taken_and_come_back_in_their_place() -> None:
    before, taken, after = rules_after(TAKE.passes, ["put", "filter", ""])

    assert [rule.split()[1] for rule in before if "KUBE-PROXY-FIREWALL" in rule] == [
        "INPUT",
        "FORWARD",
        "OUTPUT",
    ]
    assert [rule.split()[1] for rule in taken if "KUBE-PROXY-FIREWALL" in rule] == ["INPUT"]
    assert len(before) - len(taken) == 2
    assert after == before


def test_a_rule_that_is_not_there_cannot_be_taken() -> None:
    with pytest.raises(AssertionError, match="no such rule"):
        rules_after(["take", "filter", "-j KUBE-EXTERNAL-SERVICES"])
