"""The small cluster with ports of nodes: two node ports, a health check port and a host port.

What its node connects to is what the plan asks for, answered as a healthy cluster does.
"""

from __future__ import annotations

from typing import Any

from msgspec import convert

from tests.checks.small_cluster import HOST, SmallCluster, service
from wirecheck.collect.plan.contacts import contact_plan
from wirecheck.collect.plan.planned_contact import PlannedContact
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.attempts import Contact
from wirecheck.snapshot.index import VisitRecord, VisitStatus

ANYWHERE, LOCAL, HEALTH, ON_HOST = 30080, 30081, 30093, 8088


def with_ports() -> SmallCluster:
    """Services whose one endpoint is the web pod on n1, which has a host port as well."""
    small = SmallCluster()
    open_anywhere = {"type": "NodePort", "externalTrafficPolicy": "Cluster"}
    open_locally = {
        "type": "LoadBalancer",
        "externalTrafficPolicy": "Local",
        "healthCheckNodePort": HEALTH,
    }
    add_service(small, "web", ANYWHERE, **open_anywhere)
    add_service(small, "web-local", LOCAL, **open_locally)
    port = {"containerPort": 8080, "hostPort": ON_HOST}
    small.api["pods"][1]["spec"]["containers"] = [{"name": "c", "ports": [port]}]
    small.others["n2"] = VisitRecord(VisitStatus.SEEN, proxy_mode="iptables")
    connect(small)
    return small


def add_service(small: SmallCluster, name: str, node_port: int, **spec: Any) -> None:
    """A Service in front of the web pod."""
    port = {"name": "http", "port": 80, "protocol": "TCP", "nodePort": node_port}
    added = service(name, "shop", f"10.96.7.{node_port % 250}", [port])
    added["spec"] |= {"selector": {"app": "web"}, **spec}
    small.api["services"].append(added)
    target = {"kind": "Pod", "name": "web", "namespace": "shop"}
    endpoint = {"addresses": ["10.244.0.3"], "nodeName": "n1", "targetRef": target}
    small.api["endpointSlices"].append(
        {
            "metadata": {
                "name": f"{name}-1",
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "endpoints": [{**endpoint, "conditions": {"ready": True, "serving": True}}],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }
    )


def connect(small: SmallCluster) -> None:
    """What n1 is asked to connect to, and how a healthy cluster answers."""
    plan = contact_plan(convert(small.api, ApiObjects), "n1", 2.0)
    assert small.document
    assert small.document.contacts
    others = list(small.document.contacts)
    ports = [each for each in plan.contacts if each.purpose in PURPOSES]
    small.change_document(contacts=[*others, *map(answered, ports)])


PURPOSES = ("node port", "host port", "health check", "backend")


def answered(asked: PlannedContact) -> Contact:
    """n2 has no endpoint."""
    contact = Contact(HOST, asked.source, asked.purpose, asked.address, asked.port, tries=1, made=1)
    if asked.attempts == 1:
        return change(contact, made=0, error="timeout")
    if asked.http:
        here = asked.address == "192.0.2.1"
        return change(contact, status=200 if here else 503, endpoints=int(here))
    return contact


def change(contact: Contact, **fields: Any) -> Contact:
    return Contact(**{**{f: getattr(contact, f) for f in contact.__struct_fields__}, **fields})


def change_port(small: SmallCluster, address: str, port: int, **fields: Any) -> None:
    """Let one connection end otherwise."""
    assert small.document
    assert small.document.contacts
    met = [(each.address, each.port) for each in small.document.contacts]
    assert (address, port) in met, "nobody connects there"
    small.change_document(
        contacts=[
            change(each, **fields) if (each.address, each.port) == (address, port) else each
            for each in small.document.contacts
        ]
    )
