"""The stages of a visit: one table of everything that the program reads and sends."""

import os
import time
from typing import Any, Callable, Dict, List, Optional, Sequence

from wirecheck.collect.on_node import (
    agent_health,
    boot_settings,
    cilium_endpoints,
    cni_files,
    commands,
    device_managers,
    device_programs,
    ebpf_maps,
    kernel,
    kube_proxy,
    kubelet,
    listeners,
    new_connections,
    path_settings,
    pod_files,
    pod_rules,
    rule_blocks,
    socket_programs,
    traffic,
)
from wirecheck.collect.on_node.contacts import Contact, Contacts, message_of, request_of, unserved
from wirecheck.collect.on_node.dns_queries import list_redirects, send_queries
from wirecheck.collect.on_node.namespaces import MOST_NAMESPACES, NEEDED, Namespaces, read_all
from wirecheck.collect.on_node.processes import mounted_namespaces, netns_of, scan
from wirecheck.collect.on_node.visit_state import VisitState

LEAST_LISTENING = 0.3
"""The least number of seconds for which new connections are counted."""

Run = Callable[[VisitState], None]


class Stage:
    """One stage of the visit.

    Documents have its `name` in `seconds` and at the beginning of a problem. `fields`
    are the fields of the document that it fills, `plan` the parts of the plan that it needs.
    `limit` bounds, in seconds, one thing that it waits for; without it the visit's deadline
    does. `closing` runs at the end of the visit, after all stages, in the opposite order. A stage
    that is `alongside` runs while the next one does, because both only wait for the network.
    """

    def __init__(
        self,
        name: str,
        run: Run,
        fields: Sequence[str],
        *,
        plan: Sequence[str] = (),
        limit: Optional[float] = None,
        closing: Optional[Run] = None,
        alongside: bool = False,
    ) -> None:
        self.name = name
        self.run = run
        self.fields = fields
        self.plan = plan
        self.limit = limit
        self.closing = closing
        self.alongside = alongside


def stored(field: str, read: Callable[[], Any]) -> Run:
    """A stage that stores what `read` returns."""

    def run(visit: VisitState) -> None:
        visit.document[field] = read()

    return run


def sample_conntrack(visit: VisitState) -> None:
    """Read conntrack's counters; a kernel without conntrack has none."""
    if os.path.exists(kernel.CONNTRACK_STATISTICS):
        visit.document.setdefault("conntrack", []).append(kernel.conntrack_sample())


def sample_conntrack_again(visit: VisitState) -> None:
    """Wait before the second sample: checks compare two samples, and the counters need time."""
    time.sleep(max(0.0, min(visit.left_of_the_window(), visit.deadline.left())))
    sample_conntrack(visit)


def sample_traffic(visit: VisitState) -> None:
    """Read the counters of lost packets."""
    sample = traffic.sample(visit.interfaces_with_addresses())
    visit.document.setdefault("traffic", []).append(sample)


def count_new_connections(visit: VisitState) -> None:
    """Count for the rest of the window; a kernel without conntrack has no new entries."""
    if os.path.exists(kernel.CONNTRACK_STATISTICS):
        seconds = min(max(LEAST_LISTENING, visit.left_of_the_window()), visit.deadline.left())
        visit.document["new_connections"] = new_connections.listen(seconds)


def read_namespaces(visit: VisitState) -> None:
    """Find the pods and read every netns."""
    visit.namespaces = Namespaces()
    if visit.namespaces.problem:
        visit.problems.append(visit.namespaces.problem)
    visit.processes = scan()
    visit.netns = {
        uid: netns_of(inodes, visit.namespaces.host) for uid, inodes in visit.processes.pods.items()
    }
    if visit.processes.denied:
        visit.document["closed_processes"] = visit.processes.denied
        visit.problems.append(
            "%d processes could not be read: that requires %s." % (visit.processes.denied, NEEDED)
        )
    mounted = mounted_namespaces()
    pods = set(visit.netns.values())
    records: List[Dict[str, Any]] = []
    visit.document["namespaces"] = records
    read_all(visit.namespaces, visit.processes, mounted, pods, records)
    if len(records) >= MOST_NAMESPACES:
        visit.problems.append("There are more than %d network namespaces." % MOST_NAMESPACES)


def read_pods(visit: VisitState) -> None:
    """Each pod with its netns and its resolv.conf."""
    pids = {
        uid: [pid for each in inodes.values() for pid in each]
        for uid, inodes in visit.processes.pods.items()
    }
    # The processes are known even if no file can be read.
    files: Dict[str, Dict[str, str]] = {}
    records: List[Dict[str, Any]] = [
        {
            "uid": uid,
            "inode": visit.netns[uid],
            "runtime": visit.processes.runtimes[uid],
            "processes": visit.processes.members[uid],
        }
        for uid in sorted(pids)
    ]
    visit.document["pods"] = records
    try:
        files = pod_files.read_all(pids, visit.limit())
    finally:
        for record in records:
            record["resolv_conf"] = files.get(record["uid"], {"refused": "it was not read"})


def read_sysctls(visit: VisitState) -> None:
    """Read sysctls and other one-line files."""
    visit.document["files"] = kernel.read_files(visit.ports(), visit.problems)


def list_connections(visit: VisitState) -> None:
    """List clients' entries of conntrack, before the probes add their own."""
    addresses = visit.plan["dns"]["addresses"]
    visit.document["commands"] = commands.list_connections(addresses, visit.deadline)


def list_rules(visit: VisitState) -> None:
    """List the packet filter rules of the node."""
    visit.document.setdefault("commands", {}).update(commands.list_rules(visit.deadline))


def cut_into_blocks(visit: VisitState) -> None:
    """Send shared rules in blocks, and only the blocks that are new."""
    wanted = visit.plan.get("blocks")
    if wanted is not None:
        records = visit.document.get("commands", {}).values()
        visit.document["blocks"] = rule_blocks.cut(records, wanted)


def read_ebpf_maps(visit: VisitState) -> None:
    """Read the CNI plugin's eBPF maps, and which programs and options decide beside them."""
    found = ebpf_maps.read_all(visit.limit())
    visit.document["ebpf"] = found
    if found["maps"]:
        found["sockets"] = socket_programs.read_all()
        found.update(cilium_endpoints.read_all())


def connect(visit: VisitState) -> None:
    """Connect to nodes, pods and Services, from the node and from some of its pods."""
    wanted = visit.plan.get("contacts")
    if wanted is None:
        return
    message, request = message_of(wanted), request_of(wanted)
    namespaces = visit.document.get("namespaces", ())
    contacts = [
        Contact(inode, each, message, request)
        for each in wanted["contacts"] + unserved(wanted.get("serving", ()), namespaces)
        for inode in [visit.inode_of(each["source"])]
        if inode in visit.namespaces.descriptors and visit.has_family(inode, each["address"])
    ]
    Contacts(visit.namespaces, wanted["timeout"], visit.deadline).run(contacts)
    visit.document["contacts"] = [each.record for each in contacts]


def ask_agents(visit: VisitState) -> None:
    """Ask the agents of CNI plugins how they are; nothing is sent where nothing listens."""
    own: Dict[str, Any] = next(iter(visit.document.get("namespaces", ())), {})
    sockets = None if own.get("listeners_cut") else own.get("listeners")
    listening = None if sockets is None else {each["port"] for each in sockets}
    visit.document["agents"] = agent_health.ask_all(listening)


def read_kernel_log(visit: VisitState) -> None:
    """Read the kernel's messages about the network, and when its ring buffer begins."""
    visit.document["kernel_log"] = kernel.read_log()
    visit.document["kernel_log_from"] = kernel.log_start()


STAGES = (
    Stage(
        "Conntrack counters",
        sample_conntrack,
        ["conntrack"],
        plan=["window"],
        closing=sample_conntrack_again,
    ),
    Stage("Network namespaces", read_namespaces, ["namespaces", "closed_processes"]),
    Stage("Traffic", sample_traffic, ["traffic"], closing=sample_traffic),
    Stage("Connections", list_connections, ["commands"], plan=["dns"]),
    Stage("Pods", read_pods, ["pods"], limit=20.0),
    Stage("Sysctls", read_sysctls, ["files"]),
    Stage("Listening sockets", listeners.read_all, ["namespaces"]),
    Stage("kubelet", stored("kubelet", kubelet.read), ["kubelet"]),
    Stage("Programs of interfaces", device_programs.read_all, ["namespaces"]),
    Stage("Settings of paths", path_settings.read_all, ["namespaces"]),
    Stage("Contacts", connect, ["contacts"], plan=["contacts"], alongside=True),
    Stage("DNS", send_queries, ["probes"], plan=["dns"]),
    Stage("Redirects in pods", list_redirects, ["namespaces"], limit=3.0),
    Stage("Rules in pods", pod_rules.read_all, ["namespaces"]),
    Stage("Rules", list_rules, ["commands"]),
    Stage("Blocks of rules", cut_into_blocks, ["commands", "blocks"], plan=["blocks"]),
    Stage("eBPF maps", read_ebpf_maps, ["ebpf"], limit=5.0),
    Stage("kube-proxy", stored("http", kube_proxy.ask_all), ["http"]),
    Stage("Agents of CNI plugins", ask_agents, ["agents"]),
    Stage("CNI files", stored("cni", cni_files.read_all), ["cni"]),
    Stage(
        "Settings at the next boot",
        stored("boot_settings", boot_settings.read_all),
        ["boot_settings"],
    ),
    Stage(
        "Device managers",
        stored("device_managers", device_managers.read_all),
        ["device_managers"],
    ),
    Stage("Kernel log", read_kernel_log, ["kernel_log", "kernel_log_from"]),
    Stage("New connections", count_new_connections, ["new_connections"], plan=["window"]),
)
"""In the order in which they run."""
