"""The AWS VPC CNI. Source: https://github.com/aws/amazon-vpc-cni-k8s."""

from __future__ import annotations

from wirecheck.network.plugin import (
    AddressSource,
    Attachment,
    CniPlugin,
    DeviceKind,
    KernelMacs,
    Recognition,
)

PLUGIN = CniPlugin(
    name="AWS VPC CNI",
    recognised_by=Recognition(daemonsets=("aws-node",), types=("aws-cni",)),
    precedence=70,
    addresses=AddressSource.NODE_NETWORK,
    attachment=Attachment.HOST_ROUTE,
    # Of its network policy agent.
    programs=("handle_ingress", "handle_egress"),
    pod_interfaces=("eni",),
    # Pods have the MAC of the node's end as a permanent neighbour entry:
    # https://github.com/aws/amazon-vpc-cni-k8s/issues/2103
    kernel_macs=KernelMacs(DeviceKind.PAIR),
)
