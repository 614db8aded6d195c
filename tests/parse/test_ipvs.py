import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirecheck.parse.errors import ParseError
from wirecheck.parse.ipset import parse_ipset_save
from wirecheck.parse.ipvs import parse_ip_vs

TITLE = "IP Virtual Server version 1.2.1 (size=4096)\n"
IP_VS = TITLE + (
    "Prot LocalAddress:Port Scheduler Flags\n"
    "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
    "TCP  0A600001:01BB rr  persistent 10800 FFFFFFFF\n"
    "  -> C0A80002:192B      Masq    1      3          0         \n"
    "UDP  0A60000A:0035 wrr \n"
    "  -> 0AF40002:0035      Masq    1      0          7         \n"
    "  -> 0AF40003:0035      Masq    0      0          0         \n"
    "FWM  00000007 rr \n"
    "  -> 0AF40003:0035      Masq    0      0          0         \n"
    "SCTP  [fd00:0096:0000:0000:0000:0000:0000:0001]:9666 rr persistent 600 00000080\n"
    "  -> [fd00:0010:0000:0000:0000:0000:0000:0002]:1F90      Masq    1      0          0   \n"
    "TCP  0A600005:0050 rr  \n"
)


def test_servers_of_both_families() -> None:
    api, dns, six, empty = parse_ip_vs(IP_VS)
    assert (api.protocol, api.address, api.port) == ("tcp", "10.96.0.1", 443)
    assert (api.persistent_ticks, api.is_by_client, api.scheduler) == (10800, True, "rr")
    assert [(each.address, each.port, each.weight) for each in dns.real_servers] == [
        ("10.244.0.2", 53, 1),
        ("10.244.0.3", 53, 0),
    ]
    assert (six.family, six.address, six.port) == (6, "fd00:96::1", 38502)
    assert six.is_by_client
    assert six.real_servers[0].address == "fd00:10::2"
    assert empty.real_servers == []


def test_connections_tell_no_real_server_from_another() -> None:
    busy = IP_VS.replace("3          0", "5          9")
    assert busy != IP_VS
    assert parse_ip_vs(busy) == parse_ip_vs(IP_VS)
    assert parse_ip_vs(IP_VS.replace("Masq    1      3", "Masq    2      3")) != parse_ip_vs(IP_VS)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (TITLE, "", "first line"),
        ("3          0", "3          x", "line 5"),
        ("UDP  0A60000A", "ICMP 0A60000A", "line 6"),
        ("0A60000A:0035", "0A60000A:35", "line 6"),
        ("persistent 10800 FFFFFFFF", "persistent 10800", "line 4"),
        ("TCP  0A600001:01BB rr  persistent 10800 FFFFFFFF\n", "", "line 4"),
        ("Masq    1      3          0", "Masq    1      3", "line 5"),
    ],
)
def test_what_is_not_understood_is_said_with_its_line(old: str, new: str, said: str) -> None:
    with pytest.raises(ParseError, match=said):
        parse_ip_vs(IP_VS.replace(old, new, 1))


@given(st.text(max_size=100))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for each in (text, TITLE + text, IP_VS + text):
        with contextlib.suppress(ParseError):
            parse_ip_vs(each)
        with contextlib.suppress(ParseError):
            parse_ipset_save(each)


def test_sets_and_their_entries() -> None:
    sets = parse_ipset_save(
        "create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536\n"
        "add KUBE-CLUSTER-IP 10.96.0.1,tcp:443\n"
        "create KUBE-NODE-PORT-TCP bitmap:port range 0-65535\n"
        'add KUBE-NODE-PORT-TCP 30080 comment "x"\n'
    )
    assert sets["KUBE-CLUSTER-IP"].entries == ["10.96.0.1,tcp:443"]
    assert sets["KUBE-NODE-PORT-TCP"].type == "bitmap:port"
    assert sets["KUBE-NODE-PORT-TCP"].entries == ["30080"]
    assert parse_ipset_save("") == {}


@pytest.mark.parametrize(
    "text", ["add X 1\n", "create X hash:ip\ncreate X hash:ip\n", "flush\n", "create X hash:ip"]
)
def test_sets_that_are_not_understood_or_cut(text: str) -> None:
    with pytest.raises(ParseError):
        parse_ipset_save(text)
