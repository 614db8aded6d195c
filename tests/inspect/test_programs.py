"""Programs attached to an interface are shown below it."""

from tests.checks.small_cluster import WEB_NETNS, SmallCluster
from wirecheck.inspect.parts import interface_view
from wirecheck.inspect.pod_drawing import _interface
from wirecheck.node.netns import Netns
from wirecheck.snapshot.netns import DeviceProgram


def test_programs_are_shown_below_their_interface():
    small = SmallCluster()
    programs = [
        DeviceProgram(2, "tc ingress", "bpf", "cil_from_container", 1234, 7),
        DeviceProgram(2, "tc egress", "u32", "drop"),
        DeviceProgram(3, "xdp", "bpf", "of_another_device", 5),
    ]
    small.change_netns(WEB_NETNS, programs=programs)
    netns = next(Netns(n) for n in small.document.namespaces if n.inode == WEB_NETNS)

    view = interface_view(netns, netns.primary)

    assert view.programs == [
        "tc ingress: program cil_from_container (id 1234), 7 packets dropped",
        "tc egress: u32 filter (drop)",
    ]
    interface, *below = _interface(view, "│ ")
    assert interface.label == "eth0@if12"
    assert [(each.text, each.label) for each in below] == [
        (text, "attached") for text in view.programs
    ]
