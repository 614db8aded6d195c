"""What the files of sysctl.d set at boot: names, patterns, and which line wins."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import SmallCluster
from wirecheck.node.boot_settings import Setting, settings
from wirecheck.snapshot.node_settings import SysctlFile

FORWARD = "net.ipv4.ip_forward"
ALL, DEFAULT = "net.ipv4.conf.all.rp_filter", "net.ipv4.conf.default.rp_filter"
LIMIT = "net.netfilter.nf_conntrack_max"
STRICT_PATTERN = "net.ipv4.conf.*.rp_filter = 1"


def applied(*lines: str) -> dict[str, str]:
    """The values that one file sets at boot, of the sysctls that matter here."""
    found = settings([SysctlFile("a.conf", list(lines))], [FORWARD, ALL, DEFAULT, LIMIT])
    return {name: each.value for name, each in found.items()}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"{FORWARD}=1", {FORWARD: "1"}),
        (f"  {FORWARD}  =  1  ", {FORWARD: "1"}),
        ("net/ipv4/ip_forward=1", {FORWARD: "1"}),
        ("net/ipv4.ip_forward=1", {FORWARD: "1"}),
        (f"-{FORWARD}=1", {FORWARD: "1"}),
        ("net.ipv4.conf.all.forwarding=1", {FORWARD: "1"}),
        ("net.nf_conntrack_max=7", {LIMIT: "7"}),
        # A dot comes first, so that a slash is part of the name, as of `eth0/100` for eth0.100.
        ("net.ipv4/ip_forward=1", {}),
        (".net/ipv4/ip_forward=1", {}),
        ("kernel.pid_max=7", {}),
    ],
)
def test_a_line_sets_the_sysctl_that_it_names(line: str, found: dict[str, str]) -> None:
    assert applied(line) == found


@pytest.mark.parametrize(
    "pattern", ["net.ipv4.conf.*.rp_filter", "net.ipv4.conf.al?.rp_filter", "net/*/all/rp_filter",
                "net.ipv4.conf.[a]ll.rp_filter"],
)  # fmt: skip
def test_a_pattern_sets_what_it_matches(pattern: str) -> None:
    assert applied(f"{pattern} = 1")[ALL] == "1"


def test_a_name_wins_against_a_later_pattern() -> None:
    assert applied(f"{DEFAULT}=2", STRICT_PATTERN) == {ALL: "1", DEFAULT: "2"}


def test_the_last_of_several_patterns_wins() -> None:
    assert applied(STRICT_PATTERN, "net.ipv4.conf.a*.rp_filter=2") == {ALL: "2", DEFAULT: "1"}


def test_a_name_without_a_value_is_excluded_from_patterns_alone() -> None:
    assert applied(STRICT_PATTERN, f"-{ALL}") == {DEFAULT: "1"}
    assert applied(f"{ALL}=1", f"-{ALL}") == {ALL: "1"}


def test_the_last_file_wins_and_is_named() -> None:
    files = [SysctlFile(name, [f"{FORWARD}={value}"]) for name, value in (("a", "1"), ("b", "0"))]

    assert settings(files, [FORWARD]) == {FORWARD: Setting("0", "b")}


def reverted(small: SmallCluster, *lines: str) -> list[str]:
    small.change_document(boot_settings=[SysctlFile("a.conf", list(lines))])
    return [each.sysctl for each in small.node.boot_settings.reverted]


@pytest.mark.parametrize(
    ("line", "is_worse"),
    [
        (f"{FORWARD}=0", True),
        (f"{FORWARD}=1", False),
        ("net.bridge.bridge-nf-call-iptables=0", True),
        (f"{DEFAULT}=1", True),
        (f"{DEFAULT}=2", False),
        (f"{LIMIT}=131071", True),
        (f"{LIMIT}=131072", False),
        (f"{LIMIT}=131073", False),
        (f"{LIMIT}=many", False),
        ("net.ipv6.conf.all.forwarding=0", False),
    ],
)
def test_only_values_that_are_worse_than_those_in_force_are_reverted(
    small: SmallCluster, line: str, is_worse: bool
) -> None:
    assert bool(reverted(small, line)) is is_worse


def test_strict_filtering_that_is_in_force_already_is_not_reverted(small: SmallCluster) -> None:
    """The larger of `all` and an interface's own value counts, so `default` adds nothing."""
    small.change_file("/proc/sys/net/ipv4/conf/all/rp_filter", "1")

    assert reverted(small, f"{DEFAULT}=1", f"{ALL}=1") == []


def test_without_a_bridge_its_settings_do_not_matter(small: SmallCluster) -> None:
    small.change_netns(1, links=[])

    assert reverted(small, "net.bridge.bridge-nf-call-iptables=0", f"{FORWARD}=0") == [FORWARD]


@pytest.mark.parametrize(
    ("conntrack", "found"),
    [("{maxPerCore: 32768, min: 131072}", []), ("{maxPerCore: 0, min: 0}", [LIMIT])],
)
def test_a_limit_that_kube_proxy_sets_is_not_reverted(
    small: SmallCluster, conntrack: str, found: list[str]
) -> None:
    meta = {"name": "kube-proxy", "namespace": "kube-system"}
    config = {"config.conf": f"conntrack: {conntrack}\n"}
    small.api["configMaps"] = [{"metadata": meta, "data": config}]

    assert reverted(small, f"{LIMIT}=1000") == found
