"""What the node program returns from one visit, version 1.

The program decodes netlink itself, into the words that `ip -j` uses, because a process per
pod and fact would cost more than everything else together. Dumps of tools are kept as text.
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
    """A file read from inside a pod's root, which is hostile ground."""

    text: str = ""
    refused: str = ""
    """Why it was not read: `symbolic link`, `not a regular file`, `larger than 65536 bytes` …"""


class PodProcesses(SnapshotPart, frozen=True):
    """A pod as /proc shows it: processes whose cgroup names the pod's uid."""

    uid: str
    """As in the cgroup path, with dashes; for static pods the 32 hex digits of the hash."""
    inode: int
    """Of the netns that its processes are in."""
    runtime: str = ""
    """containerd, crio, docker; empty where the path does not tell."""
    processes: int = 0
    resolv_conf: PodFile = PodFile()


class Command(SnapshotPart, frozen=True):
    """One entry of the table of node commands, run once in the host's netns."""

    argv: list[str]
    status: int | None = None
    """The exit status; None when it was not run to its end."""
    output: str = ""
    blocks: list[str] = []
    """In place of `output`, where it is large: the SHA-256 of its blocks, in their order."""
    stderr: str = ""
    seconds: float = 0.0
    started: float = 0.0
    """Node's clock, seconds since the epoch; 0 in documents of programs that did not tell it."""
    problem: str = ""
    """`missing` (no such tool), `time limit`, `too large`, `not asked` (nothing to read), …"""
    lent: bool = False
    """Whether the tool was the agent image's, because the node has none."""


class HttpAnswer(SnapshotPart, frozen=True):
    """An HTTP endpoint of kube-proxy on the node's loopback."""

    status: int | None = None
    body: str = ""
    error: str = ""


class KernelLine(SnapshotPart, frozen=True):
    """A line of the kernel log that matched one of the patterns."""

    time: float
    """Seconds since the epoch, from the line's monotonic stamp and the time of boot."""
    pattern: str
    text: str


class Host(SnapshotPart, frozen=True):
    """Who answered."""

    hostname: str
    machine_id: str = ""
    boot_id: str = ""
    kernel: str = ""
    os: str = ""
    python: str = ""
    cpus: int = 0
    uptime: float = 0.0
    virtualised: str = ""


class ConntrackSample(SnapshotPart, frozen=True):
    """/proc/net/stat/nf_conntrack of the host's netns at one moment, summed over the CPUs."""

    time: float
    counters: dict[str, int] = {}


class Counters(SnapshotPart, frozen=True):
    """Packets of one interface since it exists (/proc/net/dev)."""

    received: int = 0
    receive_errors: int = 0
    receive_dropped: int = 0
    sent: int = 0
    send_errors: int = 0
    send_dropped: int = 0


class TrafficSample(SnapshotPart, frozen=True):
    """Counters of losses of the host's netns at one moment."""

    time: float
    softnet_dropped: int = 0
    """Packets that a CPU's queue had no room for, of all CPUs and since boot."""
    interfaces: dict[str, Counters] = {}


class NewConnections(SnapshotPart, frozen=True):
    """Entries of conntrack that were made while the program listened, in the host's netns."""

    seconds: float
    count: int = 0
    lost: bool = False
    """More came than could be read: then `count` is too low."""
    destinations: dict[str, int] = {}
    """Where most of them led, `10.96.0.10:53/udp`, and how many."""


class NodeDocument(SnapshotPart, frozen=True):
    """The result of one visit."""

    format: int
    program: str
    """Version of wirecheck that the program belongs to."""
    started: float
    """Node's clock, seconds since the epoch."""
    finished: float
    host: Host
    namespaces: list[Namespace] = []
    pods: list[PodProcesses] = []
    closed_processes: int = 0
    """Those that the program was not allowed to look at; pods may be among them."""
    files: dict[str, str] = {}
    """Sysctls and other one-line files by path; a file that does not exist is left out."""
    commands: dict[str, Command] = {}
    """By the command's id in the table of node commands."""
    blocks: dict[str, str] = {}
    """Of outputs, by SHA-256; in a snapshot they are files of their own, in the folder `blocks`."""
    probes: list[Probe] = []
    contacts: list[Contact] | None = None
    """None where nobody asked for them, or the program did not make them yet."""
    http: dict[str, HttpAnswer] = {}
    cni: CniFiles | None = None
    """None in documents of programs that did not read it yet."""
    kubelet: Kubelet | None = None
    conntrack: list[ConntrackSample] = []
    """Two samples that span the visit."""
    traffic: list[TrafficSample] = []
    """Two samples that span the visit."""
    new_connections: NewConnections | None = None
    boot_settings: list[SysctlFile] | None = None
    """In the order in which they are applied; None in documents of programs without it."""
    device_managers: DeviceManagers | None = None
    """None in documents of programs that did not look for them yet."""
    kernel_log: list[KernelLine] = []
    problems: list[str] = []
    """What could not be read, as sentences, where no field says so."""
    seconds: dict[str, float] = {}
    """How long each stage of the visit took, by the node's monotonic clock."""

    def problem_with(self, fact: Fact) -> str:
        """The first problem of a stage that reads `fact`; empty if all of them succeeded."""
        stages = fact.measured.stages
        return next((each for each in self.problems if each.partition(": ")[0] in stages), "")
