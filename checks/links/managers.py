"""Links: programs that manage devices must leave those of pods alone."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, check
from wirecheck.model.node import Node


@check(
    remedy="On {node}, exclude the CNI plugin's devices (use the names of your plugin): `printf "
    "'[keyfile]\\nunmanaged-devices=interface-name:cali*;interface-name:flannel*;"
    "interface-name:cni*;interface-name:veth*\\n' > /etc/NetworkManager/conf.d/cni.conf && "
    "systemctl reload NetworkManager`.",
    facts=[Fact.DEVICE_MANAGERS, Fact.NETNS, Fact.PROCESSES],
)
def unmanaged_by_networkmanager(node: Node) -> Findings:
    """If NetworkManager runs, it is configured to leave the CNI plugin's devices unmanaged.

    NetworkManager removes routes and addresses from devices that it manages when it starts, is
    updated, or a link appears. Pods lose their network one by one, without any change in
    Kubernetes.

    Except: nodes without NetworkManager. udev rules that exclude devices are not read and count as
    missing, because they change with the distribution.

    See: https://docs.rke2.io/known_issues#networkmanager
         https://github.com/rancher/rke2/issues/786
         https://github.com/flannel-io/flannel/issues/1330
    """
    for each in node.device_managers.managed_by_networkmanager:
        yield Finding(
            node.part(f"{each.kind} devices"),
            expected="excluded by unmanaged-devices",
            found=each.found,
            level=Level.WARN,
        )


@check(
    remedy="On {node}, add a .link file that sorts before it: `printf "
    "'[Match]\\nOriginalName=cali* flannel* eni* veth*\\n[Link]\\nMACAddressPolicy=none\\n' > "
    "/etc/systemd/network/10-cni.link`. It applies to devices that are created from then on.",
    facts=[Fact.DEVICE_MANAGERS, Fact.NETNS, Fact.PROCESSES, Fact.API],
)
def mac_policy(node: Node) -> Findings:
    """No .link file of systemd changes the MAC addresses that the CNI plugin's devices were given.

    The plugin announced the MAC that the device was created with. If udev changes it a moment
    later, packets to the old MAC are dropped.

    Except: systemd's MACAddressPolicy=persistent does not change MACs that a program has set, as
    most plugins do. It counts for the AWS VPC CNI, whose older versions do not, and for flannel
    before 0.15.1.

    See: https://github.com/flannel-io/flannel/issues/1155
         https://github.com/flannel-io/flannel/pull/1485
         https://github.com/aws/amazon-vpc-cni-k8s/issues/2103
         https://www.freedesktop.org/software/systemd/man/latest/systemd.link.html
    """
    for each in node.device_managers.mac_overrides:
        yield Finding(
            node.part(each.file),
            expected="the MAC addresses that the CNI plugin set",
            found=each.found,
            level=Level.WARN,
        )
