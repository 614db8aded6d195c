"""The AWS VPC CNI with a second network interface."""

from __future__ import annotations

from tests.checks.small_cluster import SmallCluster
from tests.network.building import (
    routes_to_pods,
    run_agent,
    set_cni_configuration,
    set_filter,
    set_pod_addresses,
    set_up_host,
    set_up_pods,
)
from wirecheck.snapshot.netns import Address, Link, Route, Rule


def aws_vpc(small: SmallCluster) -> None:
    """Pods in the nodes' own network; what a second network card carries leaves by its table."""
    pods = ("192.0.2.71", "192.0.2.72")
    run_agent(small, "aws-node")
    set_pod_addresses(small, *pods)
    for node in small.api["nodes"]:
        node["spec"] = {}
    plugins = ["aws-cni", "egress-cni", "portmap"]
    set_cni_configuration(small, "10-aws.conflist", plugins, [])
    sides = set_up_pods(small, "eni0d7763", pods, length=32, gateway="169.254.1.1")
    second = Link(3, "ens4", flags=["UP", "LOWER_UP"], mtu=9001)
    set_up_host(
        small,
        [second, *sides],
        [
            *routes_to_pods(pods),
            Route(4, "default", table=2, gateway="192.0.2.254", index=3),
            Route(4, "192.0.2.254/32", table=2, index=3, scope="link"),
        ],
        addresses=[Address(2, "192.0.2.1", 24), Address(3, "192.0.2.70", 24)],
        rules=[
            Rule(4, 0, 255),
            Rule(4, 512, 254, destination=f"{pods[0]}/32"),
            Rule(4, 512, 254, destination=f"{pods[1]}/32"),
            Rule(4, 1024, 254, mark="0x80/0x80"),
            Rule(4, 1536, 2, source=f"{pods[1]}/32"),
            Rule(4, 32766, 254),
            Rule(4, 32767, 253),
        ],
    )
    set_filter(small, "", "", policy="ACCEPT")


CLUSTERS = {"AWS VPC CNI": aws_vpc}
