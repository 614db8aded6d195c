"""Host ports of pods, and where they are open."""

import msgspec
import pytest

from tests.checks.small_ports import ON_HOST, with_ports
from wirecheck.api_index.host_ports import HostPort, host_ports
from wirecheck.snapshot.api_objects import ApiObjects


@pytest.mark.parametrize(
    ("host_ip", "address", "open_at"),
    [
        ("", "", ["192.0.2.1"]),
        ("0.0.0.0", "", ["192.0.2.1"]),
        ("192.0.2.7", "192.0.2.7", ["192.0.2.7"]),
        ("127.0.0.1", "127.0.0.1", []),
        ("::", None, []),
    ],
)
def test_a_host_port_is_open_at_its_host_ip_or_at_all_addresses(host_ip, address, open_at):
    small = with_ports()
    small.api["pods"][1]["spec"]["containers"][0]["ports"][0]["hostIP"] = host_ip
    api = msgspec.convert(small.api, ApiObjects)

    found = list(host_ports(api.pods[1]))
    expected = [] if address is None else [HostPort("tcp", address, ON_HOST, "10.244.0.3", 8080)]
    assert found == expected
    assert [where for each in found for where in each.open_at(api.nodes[0])] == open_at


def test_pods_on_the_hosts_network_have_no_host_ports():
    small = with_ports()
    small.api["pods"][1]["spec"]["hostNetwork"] = True

    assert list(host_ports(msgspec.convert(small.api, ApiObjects).pods[1])) == []
