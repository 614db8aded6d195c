from __future__ import annotations

import pytest

from wirecheck.parse.errors import ParseError
from wirecheck.parse.kubelet_settings import KubeletDns, kubelet_dns


def test_a_flag_overrides_the_file() -> None:
    lines = ["clusterDNS:", "- 10.96.0.10", "clusterDomain: cluster.local"]
    flags = {"cluster-dns": "10.96.0.11, fd00::b", "cluster-domain": "other.local."}

    assert kubelet_dns({}, lines) == KubeletDns(("10.96.0.10",), "cluster.local")
    assert kubelet_dns(flags, lines) == KubeletDns(("10.96.0.11", "fd00::b"), "other.local")


def test_unset_values_are_empty() -> None:
    assert kubelet_dns({}, []) == KubeletDns((), "")
    assert kubelet_dns({}, ["clusterDNS: null"]) == KubeletDns((), "")


@pytest.mark.parametrize(
    "lines", [["clusterDNS: ["], ["clusterDNS"], ["- a", "- b"], ["clusterDNS: 5"]]
)
def test_invalid_settings_are_an_error(lines: list[str]) -> None:
    with pytest.raises(ParseError):
        kubelet_dns({}, lines)
