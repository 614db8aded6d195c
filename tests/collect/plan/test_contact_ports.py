"""Which ports of nodes a visit connects to: a bounded share, and all of them over all nodes."""

from tests.checks.small_ports import ANYWHERE, HEALTH, LOCAL, ON_HOST, add_service, with_ports
from tests.collect.plan.test_contacts import described, planned


def ports(objects, node="n1", purpose="node port"):
    return {
        (each.address, each.port): each
        for each in planned(objects, node)
        if each.purpose == purpose
    }


def many(nodes: int, services: int = 0):
    small = with_ports()
    for number in range(services):
        add_service(small, f"more-{number:03}", 31000 + number, type="NodePort")
    small.api["nodes"] = [
        {**each, "status": {**each["status"], "conditions": [{"type": "Ready", "status": "True"}]}}
        for each in described(nodes)["nodes"]
    ]
    return small.api


def test_a_port_that_is_to_stay_closed_is_tried_once_and_only_at_others():
    found = ports(many(3), "n2")

    assert {where for where, port in found if port == LOCAL} == {"192.0.2.1", "192.0.2.3"}
    assert [found[f"192.0.2.{n}", LOCAL].attempts for n in (1, 3)] == [2, 1]
    assert {each.attempts for (_, port), each in found.items() if port == ANYWHERE} == {4}


def test_health_checks_are_asked_by_http_at_the_node_and_at_three_others():
    found = ports(many(6), "n2", "health check")

    assert {where for where, _ in found} == {f"192.0.2.{n}" for n in (2, 3, 4, 5)}
    assert all(each.http and port == HEALTH for (_, port), each in found.items())


def test_host_ports_are_asked_by_their_node_and_by_those_before_it():
    asking = [n for n in range(1, 7) if ports(many(6), f"n{n}", "host port")]

    assert asking == [1, 4, 5, 6]
    assert ports(many(6), "n6", "host port").keys() == {("192.0.2.1", ON_HOST)}


def test_a_node_asks_for_few_ports_and_all_nodes_for_every_port():
    objects = many(40, services=100)
    seen = [ports(objects, f"n{n + 1}") for n in range(40)]

    assert max(map(len, seen)) <= (4 + 2) * 4
    expected = {ANYWHERE, LOCAL, *range(31000, 31100)}
    assert {port for each in seen for _, port in each} == expected
    assert {where for each in seen for where, _ in each} == {f"192.0.2.{n + 1}" for n in range(40)}


def test_the_same_objects_give_the_same_plan():
    assert planned(many(5, 9), "n3") == planned(many(5, 9), "n3")


def test_nodes_that_are_not_ready_are_not_asked():
    objects = many(3)
    objects["nodes"][1]["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]

    assert {where for where, _ in ports(objects)} == {"192.0.2.1", "192.0.2.3"}


def test_pods_that_are_not_ready_are_not_asked_at_their_host_ports():
    objects = many(2)
    objects["pods"][1]["status"]["conditions"] = []

    assert ports(objects, "n1", "host port") == {}
