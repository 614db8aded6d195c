"""What the node program returns from one visit, version 1.

The program decodes netlink itself, into the words that `ip -j` uses, because a process per
pod and fact would cost more than everything else together. Dumps of tools are kept as text.
"""

from __future__ import annotations

from msgspec import Struct

FORMAT = 1


class Record(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of the document; a field that is not named here makes the document invalid."""


class Link(Record, frozen=True):
    """A network interface (RTM_GETLINK)."""

    index: int
    name: str
    flags: list[str] = []
    """As `ip` prints them: UP (administratively), LOWER_UP (carrier), BROADCAST …"""
    mtu: int = 0
    operstate: str = ""
    mac: str = ""
    kind: str = ""
    """veth, bridge, vxlan, dummy …; empty for hardware and lo."""
    peer_index: int | None = None
    """IFLA_LINK: for a veth, the other end's index, in the other end's netns."""
    peer_nsid: int | None = None
    """IFLA_LINK_NETNSID: which netns that is, in the numbering of this netns."""
    master: int | None = None
    port_kind: str = ""
    port_state: int | None = None
    """Of a bridge port: 0 disabled, 1 listening, 2 learning, 3 forwarding, 4 blocking."""
    port_hairpin: bool | None = None
    vxlan_id: int | None = None
    vxlan_local: str = ""
    vxlan_port: int | None = None
    alias: str = ""


class Address(Record, frozen=True):
    """An address of an interface (RTM_GETADDR)."""

    index: int
    address: str
    prefix: int
    scope: str = "global"
    flags: list[str] = []
    """permanent, tentative, dadfailed, deprecated, secondary …"""
    peer: str = ""


class Route(Record, frozen=True):
    """A route (RTM_GETROUTE), without the local, broadcast and cache ones."""

    family: int
    destination: str
    """`default` or a prefix such as `10.244.1.0/24`."""
    table: int = 254
    type: str = "unicast"
    gateway: str = ""
    index: int | None = None
    source: str = ""
    scope: str = "global"
    protocol: int = 0
    metric: int = 0
    onlink: bool = False
    hops: list[dict[str, str]] = []
    """The next hops of a multipath route: `gateway`, `index`, `weight`."""


class Rule(Record, frozen=True):
    """A routing rule (RTM_GETRULE)."""

    family: int
    priority: int
    table: int
    source: str = ""
    destination: str = ""
    iif: str = ""
    oif: str = ""
    mark: str = ""
    action: str = "lookup"
    protocol: int | None = None
    """Who made it, as rtnetlink numbers them (2: the kernel); None where it was not read."""


class Neighbour(Record, frozen=True):
    """A neighbour entry (RTM_GETNEIGH)."""

    index: int
    address: str
    mac: str = ""
    state: str = ""


class Fdb(Record, frozen=True):
    """An entry of a bridge's or VXLAN device's forwarding database."""

    index: int
    mac: str
    destination: str = ""
    master: int | None = None
    state: str = ""
    flags: list[str] = []


class Namespace(Record, frozen=True):
    """One network namespace; the first of a document is the host's own."""

    inode: int
    nsid: int | None = None
    """Its number as the host's netns sees it, where one is assigned."""
    mounted: str = ""
    """Where it is bind-mounted, e.g. /run/netns/cni-…"""
    processes: int = 0
    links: list[Link] = []
    addresses: list[Address] = []
    routes: list[Route] = []
    rules: list[Rule] = []
    neighbours: list[Neighbour] = []
    fdb: list[Fdb] = []
    conntrack_count: int | None = None
    redirect: str = ""
    """nat rules found in a pod's own netns (a service mesh); looked for where a probe failed."""
    error: str = ""
    """Why it could not be entered or read, as a sentence; then the lists are not to be trusted."""


class PodFile(Record, frozen=True):
    """A file read from inside a pod's root, which is hostile ground."""

    text: str = ""
    refused: str = ""
    """Why it was not read: `symbolic link`, `not a regular file`, `larger than 65536 bytes` …"""


class PodProcesses(Record, frozen=True):
    """A pod as /proc shows it: processes whose cgroup names the pod's uid."""

    uid: str
    """As in the cgroup path, with dashes; for static pods the 32 hex digits of the hash."""
    inode: int
    """Of the netns that its processes are in."""
    runtime: str = ""
    """containerd, crio, docker; empty where the path does not tell."""
    processes: int = 0
    resolv_conf: PodFile = PodFile()


class Command(Record, frozen=True):
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


class Try(Record, frozen=True):
    """One attempt of a probe."""

    seconds: float
    answer: str = ""
    """The bytes that came back, base64."""
    error: str = ""
    """`timeout`, `refused`, `unreachable` or errno's words; empty when an answer came."""
    second: str = ""
    """Of a pair: the answer to the second query."""


class Probe(Record, frozen=True):
    """One query, sent from one netns to one server; ends with its first answer."""

    inode: int
    query: str
    """The query's id in the visit's plan."""
    server: str
    port: int
    transport: str
    tries: list[Try] = []
    purpose: str = ""
    """Why it was sent: `sample`, `pair`, `unknown name`, `large answer`, `external name`,
    `local cache`; empty for the name that is asked everywhere, and for those of Services."""
    second: str = ""
    """Of a pair: the id of the query that left by the same socket."""


class Contact(Record, frozen=True):
    """A TCP connection that was made, or tried, from one netns; its last try."""

    inode: int
    source: str
    """The uid of the pod that it came from, as in `PodProcesses`; empty for the node itself."""
    purpose: str
    """Why: `node`, `pod`, `messages`, `api`, `same node`, `hairpin`, `node port`, `host port`,
    `health check`; `backend`: what listens behind one of these."""
    address: str
    port: int
    tries: int = 0
    made: int = 0
    """How many of the tries led to what was wanted."""
    times: int = 1
    """How often it was to be made; where only once, a failed try is repeated."""
    seconds: float = 0.0
    error: str = ""
    """How the last try that failed did: as for a probe."""
    messages: int = 0
    """How many messages were to be sent over it, each of which is answered by one."""
    sent: int = 0
    received: int = 0
    """Bytes, of the last try."""
    replies: int = 0
    status: int | None = None
    """Of an HTTP answer, where one was asked for."""
    endpoints: int | None = None
    """How many of its own the node names in that answer."""


class HttpAnswer(Record, frozen=True):
    """An HTTP endpoint of kube-proxy on the node's loopback."""

    status: int | None = None
    body: str = ""
    error: str = ""


class KernelLine(Record, frozen=True):
    """A line of the kernel log that matched one of the patterns."""

    time: float
    """Seconds since the epoch, from the line's monotonic stamp and the time of boot."""
    pattern: str
    text: str


class Host(Record, frozen=True):
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


class ConntrackSample(Record, frozen=True):
    """/proc/net/stat/nf_conntrack of the host's netns at one moment, summed over the CPUs."""

    time: float
    counters: dict[str, int] = {}


class CniConfiguration(Record, frozen=True):
    """A file in /etc/cni/net.d: names and types alone, since plugins keep tokens there."""

    file: str
    network: str = ""
    plugins: list[str] = []
    """Their types, which are the names of their programs."""
    ipam: list[str] = []
    problem: str = ""
    """Why it is not understood."""


class CniReservation(Record, frozen=True):
    """An address that host-local holds: a file in /var/lib/cni/networks/NETWORK."""

    network: str
    address: str
    age: float
    """Seconds since it was taken."""


class CniToken(Record, frozen=True):
    """A kubeconfig below /etc/cni/net.d whose token ends: of the token nothing but when."""

    file: str
    expires: float
    """Seconds since the epoch."""


class CniFiles(Record, frozen=True):
    """What the CNI plugins go by; None for a folder that is not there."""

    configurations: list[CniConfiguration] | None = None
    binaries: list[str] | None = None
    """The programs in /opt/cni/bin."""
    reservations: list[CniReservation] | None = None
    tokens: list[CniToken] | None = None


class Kubelet(Record, frozen=True):
    """What the kubelet tells pods of DNS; None in a document where no kubelet was found."""

    flags: dict[str, str] = {}
    """`cluster-dns`, `cluster-domain`, `config` and `config-dir`, as far as they are given."""
    lines: list[str] = []
    """Of its configuration, as YAML: `clusterDNS` and `clusterDomain`, and nothing else."""
    problem: str = ""
    """Why the configuration was not read."""


class SysctlFile(Record, frozen=True):
    """A file that is applied at boot, and its lines about sysctls that matter here."""

    file: str
    lines: list[str] = []


class SettingsFile(Record, frozen=True):
    """A file in sections, `[Match]`, with its lines about devices, `OriginalName=*`."""

    file: str
    lines: list[str] = []


class DeviceManagers(Record, frozen=True):
    """Programs that may take hold of network devices, and what they are told of them."""

    running: list[str] = []
    """NetworkManager, systemd-networkd, systemd-udevd."""
    links: list[SettingsFile] = []
    """Of systemd-udevd, each with its drop-ins, in the order in which they are tried."""
    networkd: list[SettingsFile] = []
    """In the order in which they are read, as those of NetworkManager: the last setting counts."""
    network_manager: list[SettingsFile] = []


class Counters(Record, frozen=True):
    """Packets of one interface since it exists (/proc/net/dev)."""

    received: int = 0
    receive_errors: int = 0
    receive_dropped: int = 0
    sent: int = 0
    send_errors: int = 0
    send_dropped: int = 0


class TrafficSample(Record, frozen=True):
    """Counters of losses of the host's netns at one moment."""

    time: float
    softnet_dropped: int = 0
    """Packets that a CPU's queue had no room for, of all CPUs and since boot."""
    interfaces: dict[str, Counters] = {}


class NewConnections(Record, frozen=True):
    """Entries of conntrack that were made while the program listened, in the host's netns."""

    seconds: float
    count: int = 0
    lost: bool = False
    """More came than could be read: then `count` is too low."""
    destinations: dict[str, int] = {}
    """Where most of them led, `10.96.0.10:53/udp`, and how many."""


class NodeDocument(Record, frozen=True):
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
    """How long each part of the visit took, by the node's monotonic clock."""
