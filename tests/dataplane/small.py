"""One Service on one node, to be changed by tests."""

from wirecheck.api_index.endpoint_slices import slices_by_service
from wirecheck.api_index.services import ServiceIndex, index_services
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.clients import Clients, clients_of
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Differences
from wirecheck.dataplane.expected.services import expected_table
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.proxy import ProxyFacts, proxy_facts
from wirecheck.dataplane.table import Frontend, ServiceTable
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.endpoint_slice import (
    Endpoint,
    EndpointConditions,
    EndpointPort,
    EndpointSliceObject,
)
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.node import NodeAddress, NodeObject, NodeSpec, NodeStatus
from wirecheck.snapshot.objects.service import ServiceObject, ServicePortSpec, ServiceSpec

WEB = Frontend(4, "10.96.0.20", "tcp", 80)
NODE = NodeObject(
    metadata=Metadata(name="here", labels={"topology.kubernetes.io/zone": "a"}),
    spec=NodeSpec(pod_cidr="10.244.1.0/24", pod_cidrs=["10.244.1.0/24"]),
    status=NodeStatus(addresses=[NodeAddress("InternalIP", "172.31.0.10")]),
)


def index_of(api: ApiObjects) -> ServiceIndex:
    return index_services(api.services, slices_by_service(api.endpoint_slices))


def facts(version: str = "1.34.4", **config: object) -> ProxyFacts:
    return proxy_facts({"mode": "iptables", "clusterCIDR": "10.244.0.0/16", **config}, version)


def service(**changes: object) -> ServiceObject:
    spec: dict = {
        "cluster_ip": "10.96.0.20",
        "cluster_ips": ["10.96.0.20"],
        "ip_families": ["IPv4"],
        "ports": [ServicePortSpec(port=80, name="http", target_port="web")],
        **changes,
    }
    return ServiceObject(metadata=Metadata(name="web", namespace="shop"), spec=ServiceSpec(**spec))


def endpoint(address: str, node: str = "there", **changes: object) -> Endpoint:
    conditions = EndpointConditions(
        **{key: changes.pop(key) for key in ("ready", "serving", "terminating") if key in changes}
    )
    return Endpoint(addresses=[address], node_name=node, conditions=conditions, **changes)


def slice_of(
    *endpoints: Endpoint, port: int = 8080, name: str = "http", labels: dict | None = None
) -> EndpointSliceObject:
    own = {"kubernetes.io/service-name": "web", **(labels or {})}
    meta = Metadata(name=f"web-{port}", namespace="shop", labels=own)
    return EndpointSliceObject(
        metadata=meta, endpoints=list(endpoints), ports=[EndpointPort(name=name, port=port)]
    )


def expected(
    services: list[ServiceObject],
    slices: list[EndpointSliceObject],
    with_facts: ProxyFacts | None = None,
    node: NodeObject = NODE,
) -> ServiceTable:
    index = index_of(ApiObjects(services=services, endpoint_slices=slices))
    used = with_facts or facts()
    return expected_table(index, node, used, clients_of(node, used))


def clients(*host_addresses: str, with_facts: ProxyFacts | None = None) -> Clients:
    return clients_of(NODE, with_facts or facts(), host_addresses)


def save(tables: dict[str, str]) -> str:
    """iptables-save's text for rules, chains declared as rules and jumps need them."""
    parts = []
    for table, rules in tables.items():
        lines = [line.strip() for line in rules.splitlines() if line.strip()]
        chains = dict.fromkeys(
            ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"]
            + [line.split()[1] for line in lines]
        )
        declared = "".join(
            f":{chain} {'-' if at >= 5 else 'ACCEPT'} [0:0]\n" for at, chain in enumerate(chains)
        )
        body = "".join(f"{line}\n" for line in lines)
        done = "COMMIT\n# Completed on Mon Nov 23 02:36:05 2026\n"
        parts.append(f"*{table}\n{declared}{body}{done}")
    return "".join(parts)


NAT = """
    -A PREROUTING -j KUBE-SERVICES
    -A OUTPUT -j KUBE-SERVICES
    -A POSTROUTING -j KUBE-POSTROUTING
    -A KUBE-SERVICES -d 10.96.0.20/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-WEB
    -A KUBE-SVC-WEB ! -s 10.244.0.0/16 -d 10.96.0.20/32 -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
    -A KUBE-SVC-WEB -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A
    -A KUBE-SVC-WEB -j KUBE-SEP-B
    -A KUBE-SEP-A -s 10.244.1.2/32 -j KUBE-MARK-MASQ
    -A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.1.2:8080
    -A KUBE-SEP-B -s 10.244.2.3/32 -j KUBE-MARK-MASQ
    -A KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination 10.244.2.3:8080
    -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
    -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
    -A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
    -A KUBE-POSTROUTING -j MASQUERADE --random-fully
"""
"""What kube-proxy writes for `web` with a backend here and one there."""

WEB_TABLE = ([service()], [slice_of(endpoint("10.244.1.2", "here"), endpoint("10.244.2.3"))])


def differences(
    tables: dict[str, str],
    *host_addresses: str,
    legacy: dict[str, str] | None = None,
    cache: ReaderCache | None = None,
) -> Differences:
    """What is found on a node with these tables, where the API has `web`."""
    wanted = expected(*WEB_TABLE)
    texts = {4: save(legacy)} if legacy else None
    here = clients(*host_addresses)
    read = read_iptables({4: save(tables)}, here, wanted.entries, texts, cache)
    return compare(wanted, read)
