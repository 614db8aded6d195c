"""The document that the node program returns from one visit, format 1.

The program decodes netlink itself and names things as `ip -j` does: a process per pod and fact
would cost more than the rest of the visit. Dumps of tools are stored as text.
"""

from __future__ import annotations

from typing import Annotated

from wirecheck.catalogue.facts import Fact
from wirecheck.snapshot.attempts import Contact, Probe
from wirecheck.snapshot.cni_files import CniFiles
from wirecheck.snapshot.command import Command as Command  # noqa: PLC0414
from wirecheck.snapshot.ebpf_maps import EbpfMaps
from wirecheck.snapshot.netns import Namespace
from wirecheck.snapshot.node_settings import DeviceManagers, Kubelet, SysctlFile
from wirecheck.snapshot.part import FEW, MANY, VERY_MANY, Output, SnapshotPart, Text, Word

FORMAT = 1


class PodFile(SnapshotPart, frozen=True):
    """A file read from a pod's root file system, whose content is untrusted."""

    text: Text = ""
    refused: Word = ""
    """Why it was not read: `symbolic link`, `not a regular file`, `larger than 65536 bytes` …"""


class PodProcesses(SnapshotPart, frozen=True):
    """A pod as /proc shows it: the processes whose cgroup path contains the pod's uid."""

    uid: Word
    """As in the cgroup path, with dashes; for static pods the 32 hexadecimal digits of the hash."""
    inode: int
    """The network namespace of its processes."""
    runtime: Word = ""
    """containerd, crio, docker; empty if the path does not show it."""
    processes: int = 0
    resolv_conf: PodFile = PodFile()


class HttpAnswer(SnapshotPart, frozen=True):
    """The response of an HTTP endpoint of kube-proxy or an agent, on the node's loopback."""

    status: int | None = None
    body: Output = ""
    error: Word = ""


class KernelLine(SnapshotPart, frozen=True):
    """A line of the kernel log that matched a known pattern."""

    time: float
    """Seconds since the epoch, from the line's monotonic timestamp and the time of boot."""
    pattern: Word
    text: Word


class Host(SnapshotPart, frozen=True):
    """The host that answered."""

    hostname: Word
    machine_id: Word = ""
    boot_id: Word = ""
    kernel: Word = ""
    os: Word = ""
    python: Word = ""
    cpus: int = 0
    uptime: float = 0.0
    up: float = 0.0
    """Seconds since process 1 started, which for a container is later than the machine's boot. 0 in
    documents of older programs."""
    virtualised: Word = ""


class ConntrackSample(SnapshotPart, frozen=True):
    """/proc/net/stat/nf_conntrack of the node's own netns at one time, summed over the CPUs."""

    time: float
    counters: Annotated[dict[Word, int], FEW] = {}


class Counters(SnapshotPart, frozen=True):
    """Packet counters of one interface since it was created (/proc/net/dev)."""

    received: int = 0
    receive_errors: int = 0
    receive_dropped: int = 0
    sent: int = 0
    send_errors: int = 0
    send_dropped: int = 0


class TrafficSample(SnapshotPart, frozen=True):
    """Counters of dropped packets of the node's own netns at one time."""

    time: float
    softnet_dropped: int = 0
    """Packets dropped because a CPU's backlog queue was full, over all CPUs since boot."""
    interfaces: Annotated[dict[Word, Counters], MANY] = {}


class NewConnections(SnapshotPart, frozen=True):
    """Conntrack entries created in the node's own netns while the program listened."""

    seconds: float
    count: int = 0
    lost: bool = False
    """Whether notifications were lost, so that `count` is too low."""
    destinations: Annotated[dict[Word, int], FEW] = {}
    """The most frequent destinations, `10.96.0.10:53/udp`, with their numbers of entries."""


class NodeDocument(SnapshotPart, frozen=True):
    """The result of one visit."""

    format: int
    program: Word
    """The version of wirecheck that the program belongs to."""
    started: float
    """Seconds since the epoch, by the node's clock."""
    finished: float
    host: Host
    namespaces: Annotated[list[Namespace], MANY] = []
    pods: Annotated[list[PodProcesses], MANY] | None = None
    """None if they were not read. The same applies to every list and map whose stage failed."""
    closed_processes: int = 0
    """The number of processes that the program could not read; some may belong to pods."""
    files: Annotated[dict[Word, Output], MANY] | None = None
    """Sysctls and other one-line files by path, without those that do not exist."""
    commands: Annotated[dict[Word, Command], FEW] = {}
    """By id in the table of node commands."""
    blocks: Annotated[dict[Word, Output], MANY] = {}
    """Parts of outputs by SHA-256. A snapshot stores them as files in the folder `blocks`."""
    probes: Annotated[list[Probe], VERY_MANY] | None = None
    contacts: Annotated[list[Contact], MANY] | None = None
    """None if the plan had none, and in documents of older programs."""
    ebpf: EbpfMaps | None = None
    """None in documents of older programs."""
    http: Annotated[dict[Word, HttpAnswer], FEW] | None = None
    agents: Annotated[dict[Word, HttpAnswer], FEW] | None = None
    """By port and path, without those at whose port nothing listens; None in older documents."""
    cni: CniFiles | None = None
    """None in documents of older programs."""
    kubelet: Kubelet | None = None
    conntrack: Annotated[list[ConntrackSample], FEW] | None = None
    """Two samples that span the visit."""
    traffic: Annotated[list[TrafficSample], FEW] | None = None
    """Two samples that span the visit."""
    new_connections: NewConnections | None = None
    boot_settings: Annotated[list[SysctlFile], MANY] | None = None
    """In the order in which they are applied. None in documents of older programs."""
    device_managers: DeviceManagers | None = None
    """None in documents of older programs."""
    kernel_log: Annotated[list[KernelLine], MANY] | None = None
    kernel_log_from: float | None = None
    """The time of the oldest record in the kernel's ring buffer; None if that is not known."""
    problems: Annotated[list[Word], MANY] = []
    """What could not be read: `STAGE: ERROR.`, or a sentence."""
    seconds: Annotated[dict[Word, float], FEW] = {}
    """How long each stage of the visit took, by the node's monotonic clock."""

    def problem_with(self, fact: Fact) -> str:
        """The first problem of a stage that reads `fact`; empty if all of them succeeded."""
        stages = fact.measured.stages
        return next((each for each in self.problems if each.partition(": ")[0] in stages), "")
