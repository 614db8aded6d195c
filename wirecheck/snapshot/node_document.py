"""The document that the node program returns from one visit, format 1.

The program decodes netlink itself and names things as `ip -j` does: a process per pod and fact
would cost more than the rest of the visit. Dumps of tools are stored as text.
"""

from __future__ import annotations

from wirecheck.catalogue.facts import Fact
from wirecheck.snapshot.attempts import Contact, Probe
from wirecheck.snapshot.cni_files import CniFiles
from wirecheck.snapshot.netns import Namespace
from wirecheck.snapshot.node_settings import DeviceManagers, Kubelet, SysctlFile
from wirecheck.snapshot.part import SnapshotPart

FORMAT = 1


class PodFile(SnapshotPart, frozen=True):
    """A file read from a pod's root file system, whose content is untrusted."""

    text: str = ""
    refused: str = ""
    """Why it was not read: `symbolic link`, `not a regular file`, `larger than 65536 bytes` …"""


class PodProcesses(SnapshotPart, frozen=True):
    """A pod as /proc shows it: the processes whose cgroup path contains the pod's uid."""

    uid: str
    """As in the cgroup path, with dashes; for static pods the 32 hexadecimal digits of the hash."""
    inode: int
    """The network namespace of its processes."""
    runtime: str = ""
    """containerd, crio, docker; empty if the path does not show it."""
    processes: int = 0
    resolv_conf: PodFile = PodFile()


class Command(SnapshotPart, frozen=True):
    """One command of the table of node commands, run once in the node's own netns."""

    argv: list[str]
    status: int | None = None
    """The exit status; None if the command did not run or did not end."""
    output: str = ""
    blocks: list[str] = []
    """Instead of a large `output`: the SHA-256 of each of its blocks, in order."""
    stderr: str = ""
    seconds: float = 0.0
    started: float = 0.0
    """Seconds since the epoch by the node's clock; 0 in documents of older programs."""
    problem: str = ""
    """`missing` (no such tool), `time limit`, `too large`, `not asked: REASON` (not needed), …"""
    lent: bool = False
    """Whether the tool came from the agent's image: the node lacks it, or has one too old."""


class HttpAnswer(SnapshotPart, frozen=True):
    """The response of an HTTP endpoint of kube-proxy on the node's loopback address."""

    status: int | None = None
    body: str = ""
    error: str = ""


class KernelLine(SnapshotPart, frozen=True):
    """A line of the kernel log that matched a known pattern."""

    time: float
    """Seconds since the epoch, from the line's monotonic timestamp and the time of boot."""
    pattern: str
    text: str


class Host(SnapshotPart, frozen=True):
    """The host that answered."""

    hostname: str
    machine_id: str = ""
    boot_id: str = ""
    kernel: str = ""
    os: str = ""
    python: str = ""
    cpus: int = 0
    uptime: float = 0.0
    up: float = 0.0
    """Seconds since process 1 started, which for a container is later than the machine's boot. 0 in
    documents of older programs."""
    virtualised: str = ""


class ConntrackSample(SnapshotPart, frozen=True):
    """/proc/net/stat/nf_conntrack of the node's own netns at one time, summed over the CPUs."""

    time: float
    counters: dict[str, int] = {}


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
    interfaces: dict[str, Counters] = {}


class NewConnections(SnapshotPart, frozen=True):
    """Conntrack entries created in the node's own netns while the program listened."""

    seconds: float
    count: int = 0
    lost: bool = False
    """Whether notifications were lost, so that `count` is too low."""
    destinations: dict[str, int] = {}
    """The most frequent destinations, `10.96.0.10:53/udp`, with their numbers of entries."""


class NodeDocument(SnapshotPart, frozen=True):
    """The result of one visit."""

    format: int
    program: str
    """The version of wirecheck that the program belongs to."""
    started: float
    """Seconds since the epoch, by the node's clock."""
    finished: float
    host: Host
    namespaces: list[Namespace] = []
    pods: list[PodProcesses] = []
    closed_processes: int = 0
    """The number of processes that the program could not read; some may belong to pods."""
    files: dict[str, str] = {}
    """Sysctls and other one-line files by path, without those that do not exist."""
    commands: dict[str, Command] = {}
    """By id in the table of node commands."""
    blocks: dict[str, str] = {}
    """Parts of outputs by SHA-256. A snapshot stores them as files in the folder `blocks`."""
    probes: list[Probe] = []
    contacts: list[Contact] | None = None
    """None if the plan had none, and in documents of older programs."""
    http: dict[str, HttpAnswer] = {}
    cni: CniFiles | None = None
    """None in documents of older programs."""
    kubelet: Kubelet | None = None
    conntrack: list[ConntrackSample] = []
    """Two samples that span the visit."""
    traffic: list[TrafficSample] = []
    """Two samples that span the visit."""
    new_connections: NewConnections | None = None
    boot_settings: list[SysctlFile] | None = None
    """In the order in which they are applied. None in documents of older programs."""
    device_managers: DeviceManagers | None = None
    """None in documents of older programs."""
    kernel_log: list[KernelLine] = []
    kernel_log_from: float | None = None
    """The time of the oldest record in the kernel's ring buffer; None if that is not known."""
    problems: list[str] = []
    """What could not be read: `STAGE: ERROR.`, or a sentence."""
    seconds: dict[str, float] = {}
    """How long each stage of the visit took, by the node's monotonic clock."""

    def problem_with(self, fact: Fact) -> str:
        """The first problem of a stage that reads `fact`; empty if all of them succeeded."""
        stages = fact.measured.stages
        return next((each for each in self.problems if each.partition(": ")[0] in stages), "")
