"""Each parser ends with a value or a ParseError, whatever text it gets."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable

import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.dataplane.test_recorded_nodes import RecordedNode
from tests.fuzz.garbling import garbled_text
from wirecheck.parse.conntrack import parse_connections
from wirecheck.parse.corefile import cluster_zone
from wirecheck.parse.dns_answer import parse_answer
from wirecheck.parse.errors import ParseError
from wirecheck.parse.ipset import parse_ipset_save
from wirecheck.parse.ipvs import parse_ip_vs
from wirecheck.parse.ipvsadm import parse_ipvsadm_save
from wirecheck.parse.resolv_conf import parse_resolv_conf
from wirecheck.parse.sync_metrics import parse_sync_metrics

RECORDED = RecordedNode("ipvs").texts
PARSERS: dict[str, tuple[Callable[[str], object], str]] = {
    "conntrack": (
        lambda text: list(parse_connections(text)),
        "udp      17 25 src=10.244.1.5 dst=10.96.0.10 sport=40000 dport=53 src=10.244.0.2 "
        "dst=10.244.1.5 sport=53 dport=40000 [ASSURED] mark=0 use=1\n",
    ),
    "corefile": (
        cluster_zone,
        ".:53 {\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\n    }\n}\n",
    ),
    "ip_vs": (parse_ip_vs, RECORDED["ip_vs"]),
    "ipset": (parse_ipset_save, RECORDED["ipset"]),
    "ipvsadm": (
        parse_ipvsadm_save,
        "-A -t 10.96.0.1:443 -s rr -p 10800\n-a -t 10.96.0.1:443 -r 172.31.250.10:6443 -m -w 1\n"
        "-A -u [fd00:96::a]:53 -s rr\n-A -f 7 -s rr\n",
    ),
    "resolv.conf": (
        parse_resolv_conf,
        "search a.b b\nnameserver 10.96.0.10\noptions ndots:5 edns0\n",
    ),
    "sync metrics": (
        parse_sync_metrics,
        "# HELP kubeproxy_sync_proxy_rules_last_timestamp_seconds x\n"
        'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} 1.79e+09\n'
        'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"} 1.7e+09\n'
        'kubeproxy_sync_proxy_rules_duration_seconds_bucket{le="+Inf"} 3\n',
    ),
}
every_parser = pytest.mark.parametrize("name", list(PARSERS))


def parsed(name: str, text: str) -> None:
    said = ""
    try:
        PARSERS[name][0](text)
    except ParseError as error:
        said = str(error)
    assert len(said) < 1000


@every_parser
def test_what_is_garbled_can_be_read(name: str) -> None:
    parser, text = PARSERS[name]
    assert parser(text)


@every_parser
@given(seed=st.integers(0, 2**32))
def test_garbled(name: str, seed: int) -> None:
    parsed(name, garbled_text(PARSERS[name][1], random.Random(seed)))


@every_parser
@given(text=st.text())
def test_any_text(name: str, text: str) -> None:
    parsed(name, text)


ANSWER = dns.message.make_response(dns.message.make_query("a.svc.cluster.local", "A"))
ANSWER.answer.append(dns.rrset.from_text("a.svc.cluster.local.", 5, "IN", "A", "10.96.0.1"))


@given(seed=st.integers(0, 2**32))
def test_garbled_dns_answers(seed: int) -> None:
    chance = random.Random(seed)
    wire = bytearray(ANSWER.to_wire())
    for _ in range(chance.randint(1, 6)):
        wire[chance.randrange(len(wire))] = chance.randrange(256)
    with contextlib.suppress(ParseError):
        parse_answer(bytes(wire[: chance.randint(0, len(wire))]))


@given(wire=st.binary(max_size=600))
def test_any_bytes_as_a_dns_answer(wire: bytes) -> None:
    with contextlib.suppress(ParseError):
        parse_answer(wire)
