"""Which sockets of pods accept connections, and what makes that inconclusive."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.checks.small_cluster import HOST, WEB_NETNS, SmallCluster, link, service
from wirecheck.node.listening import UnservedService
from wirecheck.snapshot.attempts import Contact
from wirecheck.snapshot.netns import Address, Listener

LEAST_AGE = 60.0


@pytest.fixture
def web(small: SmallCluster) -> SmallCluster:
    """A Service whose endpoint is the web pod, at port 8080; nothing listens in the pod."""
    port = {"name": "http", "port": 80, "targetPort": 8080}
    small.api["services"].append(service("web", "shop", "10.96.0.20", [port]))
    small.api["services"][-1]["spec"]["selector"] = {"app": "web"}
    meta = {"name": "w", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}}
    small.api["endpointSlices"].append(
        {
            "metadata": meta,
            "addressType": "IPv4",
            "endpoints": [
                {
                    "addresses": ["10.244.0.3"],
                    "conditions": {"ready": True, "serving": True},
                    "nodeName": "n1",
                    "targetRef": {"kind": "Pod", "name": "web", "namespace": "shop"},
                }
            ],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }
    )
    small.change_netns(WEB_NETNS, listeners=[])
    return small


def unserved(small: SmallCluster) -> list[UnservedService]:
    return list(small.node.listening.unserved(LEAST_AGE))


def listen(small: SmallCluster, *ports: int, where: str = "127.0.0.1") -> None:
    small.change_netns(WEB_NETNS, listeners=[Listener(where, each) for each in ports])


def test_only_sockets_at_the_port_itself_are_named_in_what_was_found(web: SmallCluster) -> None:
    listen(web, 80, 8080, 9090)

    (found,) = unserved(web)
    assert found.first.found == "it listens only at 127.0.0.1:8080"
    assert found.key == "8080 IPv4 it listens only at 127.0.0.1:8080"
    assert found.evidence[0].endswith("listens at: 127.0.0.1:80, 127.0.0.1:8080, 127.0.0.1:9090")


@pytest.mark.parametrize("port", [9090, 80])
def test_sockets_at_other_ports_do_not_serve_it(web: SmallCluster, port: int) -> None:
    listen(web, port, where="0.0.0.0")

    (found,) = unserved(web)
    assert found.first.found == "nothing listens there"


def test_a_port_that_no_container_has_is_named_by_the_service(web: SmallCluster) -> None:
    web.api["services"][-1]["spec"]["ports"][0]["targetPort"] = "http-web"
    web.api["endpointSlices"][-1]["ports"] = []

    (found,) = unserved(web)
    assert found.key == ("http-web IPv4 no container of the pod has a port named http-web")
    assert found.expected == "a container port named http-web in each Ready pod"


UNKNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "an error": ({"error": "cut"}, "could not be read"),
    "no sockets": ({"listeners": None}, "could not be read"),
    "another address": ({"addresses": [Address(2, "10.244.0.9", 24)]}, "not on an interface"),
}


@pytest.mark.parametrize(("change", "reason"), UNKNOWN.values(), ids=UNKNOWN)
def test_sockets_that_were_not_read_are_inconclusive(
    web: SmallCluster, change: dict[str, Any], reason: str
) -> None:
    web.change_netns(WEB_NETNS, **change)

    (found,) = unserved(web)
    assert reason in found.first.inconclusive
    assert found.first.found == "unknown"


def test_a_pod_without_a_netns_is_inconclusive(web: SmallCluster) -> None:
    assert web.document
    web.change_document(pods=[each for each in web.document.pods if each.inode != WEB_NETNS])

    (found,) = unserved(web)
    assert found.first.inconclusive
    assert found.netns == ""


@pytest.mark.parametrize(("ports", "is_unsure"), [([], True), ([9090], False)])
def test_a_runtime_class_hides_sockets_only_if_none_is_seen(
    web: SmallCluster, ports: list[int], is_unsure: bool
) -> None:
    web.api["pods"][1]["spec"]["runtimeClassName"] = "nvidia"
    listen(web, *ports)

    (found,) = unserved(web)
    assert bool(found.first.inconclusive) is is_unsure


@pytest.mark.parametrize(
    ("kind", "is_unsure"), [("tun", True), ("macvtap", True), ("bridge", True), ("veth", False)]
)
def test_a_device_for_a_network_within_the_pod_may_pass_packets_on(
    web: SmallCluster, kind: str, is_unsure: bool
) -> None:
    web.change_netns(WEB_NETNS, links=[link(2, "eth0", peer_index=12), link(3, "x", kind)])

    (found,) = unserved(web)
    assert bool(found.first.inconclusive) is is_unsure


@pytest.mark.parametrize(
    ("age", "is_unsure"), [(59.0, True), (0.0, True), (60.0, False), (-1.0, False)]
)
def test_a_pod_that_has_just_become_ready_may_still_start(
    web: SmallCluster, age: float, is_unsure: bool
) -> None:
    since = datetime.fromtimestamp(1000.0 - age, tz=UTC).isoformat()
    long_ago = {"status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z"}
    others = [{"type": each, **long_ago} for each in ("Initialized", "Scheduled")]
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": since}
    web.api["pods"][1]["status"]["conditions"] = [*others, ready]

    (found,) = unserved(web)
    assert bool(found.first.inconclusive) is is_unsure


@pytest.mark.parametrize("since", ["", "yesterday"])
def test_a_time_that_is_not_known_is_no_reason(web: SmallCluster, since: str) -> None:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": since}
    web.api["pods"][1]["status"]["conditions"] = [ready]

    (found,) = unserved(web)
    assert found.first.inconclusive == ""


ACCEPTED: dict[str, Any] = {"address": "10.244.0.3", "port": 8080, "made": 1}
CONTACTS = {
    "accepted": (ACCEPTED, True),
    "from a pod": (ACCEPTED | {"source": "uid"}, False),
    "at another address": (ACCEPTED | {"address": "10.244.0.2"}, False),
    "at another port": (ACCEPTED | {"port": 8081}, False),
    "not accepted": (ACCEPTED | {"made": 0}, False),
}


@pytest.mark.parametrize(("fields", "is_served"), CONTACTS.values(), ids=CONTACTS)
def test_a_connection_of_the_node_that_was_accepted_shows_that_it_is_served(
    web: SmallCluster, fields: dict[str, Any], is_served: bool
) -> None:
    known = {"inode": HOST, "source": "", "purpose": "endpoint", "tries": 1} | fields
    web.change_document(contacts=[Contact(**known)])

    assert bool(unserved(web)) is not is_served


@pytest.mark.parametrize(
    ("fields", "is_shown"),
    [
        ({}, True),
        ({"error": "timed out"}, False),
        ({"port": 8081}, False),
        ({"source": "uid"}, False),
        ({"address": "10.244.0.2"}, False),
    ],
)
def test_a_connection_of_the_node_that_was_refused_is_evidence(
    web: SmallCluster, fields: dict[str, Any], is_shown: bool
) -> None:
    refused = {"inode": HOST, "source": "", "purpose": "endpoint", "tries": 1, "made": 0}
    known = refused | {"address": "10.244.0.3", "port": 8080, "error": "refused"} | fields
    web.change_document(contacts=[Contact(**known)])

    (found,) = unserved(web)
    shown = "A connection from n1 to 10.244.0.3:8080 was refused."
    assert (shown in found.evidence) is is_shown
