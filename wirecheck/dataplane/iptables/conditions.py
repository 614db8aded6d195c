"""The conditions of a rule of iptables-save, as those of a step."""

from __future__ import annotations

from collections.abc import Callable

from wirecheck.addresses import canonical, is_ipv4, network
from wirecheck.dataplane.rules.source_ports import matches_clients
from wirecheck.dataplane.rules.steps import IN, OUT, MarkTest, SetTest, SourceTest, Test
from wirecheck.parse.iptables import Option

PROTOCOLS = {"4": "ipencap", "6": "tcp", "17": "udp", "132": "sctp", "ipv4": "ipencap"}
ROOT = 0
FULL_MASKS = frozenset({"255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"})


class Conditions:
    """Collects the conditions of one rule; see `READERS`."""

    def __init__(self) -> None:
        self.never = False
        self.first = True
        self.later: bool | None = True
        self.protocol = ""
        self.host = ""
        self.port = 0
        self.tests: list[Test] = []
        self.sources: list[SourceTest] = []
        self.marks: list[MarkTest] = []
        self.probability = 1.0
        self.recalls: tuple[str, int] | None = None
        self.remembers = ""
        self.sets: list[SetTest] = []
        self._recent: dict[str, str] = {}

    def add(self, option: Option) -> bool:
        """Add one option. Returns whether it was understood."""
        read = READERS.get((option.module, option.name))
        try:
            return read is not None and read(self, option)
        except (ValueError, IndexError):
            return False

    def source(self, option: Option) -> bool:
        """-s RANGE."""
        host, _, length = option.values[0].partition("/")
        # Nearly all are single addresses: those of endpoints.
        if length != "32" or not is_ipv4(host):
            network(option.values[0])
        self.sources.append(SourceTest("network", option.values[0], option.negated))
        return True

    def destination(self, option: Option) -> bool:
        """-d RANGE."""
        text = option.values[0]
        base, _, length = text.partition("/")
        if not option.negated and length in ("32", "128", ""):
            self.host = canonical(base)
        else:
            ends = network(text)
            low, high = int(ends.network_address), int(ends.broadcast_address)
            self._test(lambda packet: low <= packet.number <= high, option)
        return True

    def protocol_name(self, option: Option) -> bool:
        """-p PROTOCOL."""
        name = PROTOCOLS.get(option.values[0], option.values[0])
        if name in ("all", "0"):
            return not option.negated
        if option.negated:
            self.tests.append(lambda packet: packet.protocol != name)
        else:
            self.protocol = name
        return True

    def ports(self, option: Option) -> bool:
        """--dport PORT[:PORT] and --dports LIST."""
        parts = option.values[0].split(",")
        spans = [tuple(map(int, part.split(":"))) for part in parts]
        if not option.negated and len(spans) == 1 and len(spans[0]) == 1:
            self.port = spans[0][0]
        else:
            self._test(lambda packet: any(s[0] <= packet.port <= s[-1] for s in spans), option)
        return True

    def destination_type(self, option: Option) -> bool:
        """--dst-type LOCAL: no Service has an address of another special type."""
        types = option.values[0].split(",")
        wants_local, wants_other = "LOCAL" in types, "UNICAST" in types
        self._test(lambda p: wants_local if p.is_local else wants_other, option)
        return True

    def source_type(self, option: Option) -> bool:
        """--src-type LOCAL."""
        if option.values != ("LOCAL",):
            return False
        self.sources.append(SourceTest("local", "", option.negated))
        return True

    def state(self, option: Option) -> bool:
        """--ctstate: Service connections are followed from their first packet, before DNAT."""
        states = {*option.values[0].split(",")}
        self.never |= ("NEW" in states) is option.negated
        self.first &= bool(states & {"NEW", "DNAT"}) is not option.negated
        self.later = self.later and bool(states & {"ESTABLISHED", "DNAT"}) is not option.negated
        return True

    def tcp_flags(self, option: Option) -> bool:
        """--tcp-flags as `--syn` is written: a first packet matches."""
        if option.values != ("FIN,SYN,RST,ACK", "SYN"):
            return False
        self._only_if(not option.negated)
        return True

    def mark(self, option: Option) -> bool:
        """--mark VALUE[/MASK]."""
        value, _, mask = option.values[0].partition("/")
        test = MarkTest(int(value, 0), int(mask or "0xffffffff", 0), option.negated)
        self.marks.append(test)
        return True

    def connection_mark(self, option: Option) -> bool:
        """--mark of connmark: a new connection has none."""
        value = int(option.values[0].partition("/")[0], 0)
        self._only_if((value == 0) is not option.negated)
        return True

    def statistic_mode(self, option: Option) -> bool:
        """--mode random."""
        return option.values == ("random",)

    def statistic(self, option: Option) -> bool:
        """--probability P."""
        probability = float(option.values[0])
        if not 0 <= probability <= 1:
            return False
        self.probability = 1 - probability if option.negated else probability
        return True

    def recent(self, option: Option) -> bool:
        """The parts of `recent` that make session affinity; see `join_recent`."""
        self._recent[option.name] = option.values[0] if option.values else ""
        return not option.negated

    def virtual_server(self, option: Option) -> bool:
        """--vaddr, --vproto and --vport of ipvs: what the packet was sent to."""
        text = option.values[0]
        if option.name == "--vaddr":
            self.host = canonical(text.partition("/")[0])
            self._sources_of_itself()
        elif option.name == "--vport":
            self.port = int(text)
        else:
            self.protocol = PROTOCOLS.get(text, text)
        return not option.negated

    def _sources_of_itself(self) -> None:
        """Packets from a virtual server's own address come from the node, which has the address."""
        length = 128 if ":" in self.host else 32
        itself = SourceTest("network", f"{self.host}/{length}", negated=False)
        local = SourceTest("local", "", negated=False)
        self.sources = [local if each == itself else each for each in self.sources]

    def join_recent(self, unknown: dict[str, list[Option]]) -> None:
        """Whether the client is remembered or will be: the options have a meaning only together."""
        options = self._recent
        if not options or "recent" in unknown:
            return
        name = options.get("--name", "DEFAULT")
        seconds = options.get("--seconds", "0")
        is_by_client = options.get("--mask") in FULL_MASKS and "--rsource" in options
        if not is_by_client or not seconds.isdecimal():
            unknown.setdefault("recent", [])
        elif "--set" in options:
            self.remembers = name
        elif "--rcheck" in options or "--update" in options:
            self.recalls = (name, int(seconds))

    def match_set(self, option: Option) -> bool:
        """--match-set NAME dst,dst."""
        name, fields = option.values
        self.sets.append(SetTest(name, tuple(fields.split(",")), option.negated))
        return True

    def interface_in(self, option: Option) -> bool:
        """-i NAME."""
        self.sources.append(SourceTest(IN, option.values[0], option.negated))
        return True

    def interface_out(self, option: Option) -> bool:
        """-o NAME."""
        self.sources.append(SourceTest(OUT, option.values[0], option.negated))
        return True

    def source_ports(self, option: Option) -> bool:
        """--sport PORT[:PORT] and --sports LIST: clients connect from unprivileged ports."""
        parts = option.values[0].split(",")
        holds = matches_clients([(p.partition(":")[0], p.rpartition(":")[2]) for p in parts])
        if holds is None:
            return self.of_packet(option)
        self._only_if(holds is not option.negated)
        return True

    def of_packet(self, option: Option) -> bool:
        """--limit-iface-in and the like: recognised, but unknown for a connection to come."""
        text = " ".join([option.name, *option.values])
        self.sources.append(SourceTest("packet", text, option.negated))
        return True

    def owner(self, option: Option) -> bool:
        """--uid-owner and --gid-owner of owner: the node's own programs run as root.

        Packets that the node forwards have no owner; a negated condition matches them.
        """
        ids = option.values[0].split("-")
        is_root = int(ids[0]) == ROOT
        if is_root:
            self.sources.append(SourceTest("local", "", option.negated))
        elif not option.negated:
            self._only_if(holds=False)
        return True

    def socket_exists(self, option: Option) -> bool:
        """--socket-exists of owner: packets that the node forwards have no socket."""
        self.sources.append(SourceTest("local", "", option.negated))
        return True

    def reverse_path(self, _: Option) -> bool:
        """--invert of rpfilter: a client's packet comes in by the device of the route to it."""
        self._only_if(holds=False)
        return True

    def always(self, option: Option) -> bool:
        """A match, or an option of one, that all packets of clients match."""
        return not option.negated

    def _only_if(self, holds: bool) -> None:
        """A condition that first packets match or not; for later ones it is not known."""
        self.never |= not holds
        self.first &= holds
        self.later = None

    def _test(self, test: Test, option: Option) -> None:
        if option.negated:
            self.tests.append(lambda packet: not test(packet))
        else:
            self.tests.append(test)


READERS: dict[tuple[str, str], Callable[[Conditions, Option], bool]] = {
    ("", "-s"): Conditions.source,
    ("", "-d"): Conditions.destination,
    ("", "-p"): Conditions.protocol_name,
    ("", "-i"): Conditions.interface_in,
    ("", "-o"): Conditions.interface_out,
    ("tcp", "--dport"): Conditions.ports,
    ("udp", "--dport"): Conditions.ports,
    ("sctp", "--dport"): Conditions.ports,
    ("multiport", "--dports"): Conditions.ports,
    ("tcp", "--tcp-flags"): Conditions.tcp_flags,
    ("addrtype", "--dst-type"): Conditions.destination_type,
    ("addrtype", "--src-type"): Conditions.source_type,
    ("conntrack", "--ctstate"): Conditions.state,
    ("state", "--state"): Conditions.state,
    ("mark", "--mark"): Conditions.mark,
    ("connmark", "--mark"): Conditions.connection_mark,
    ("statistic", "--mode"): Conditions.statistic_mode,
    ("statistic", "--probability"): Conditions.statistic,
    **{
        ("recent", name): Conditions.recent
        for name in (
            *("--set", "--rcheck", "--update", "--seconds", "--reap"),
            *("--name", "--mask", "--rsource"),
        )
    },
    ("set", "--match-set"): Conditions.match_set,
    **{("ipvs", name): Conditions.virtual_server for name in ("--vaddr", "--vproto", "--vport")},
    ("nfacct", "--nfacct-name"): Conditions.always,
    ("owner", "--uid-owner"): Conditions.owner,
    ("owner", "--gid-owner"): Conditions.owner,
    ("owner", "--socket-exists"): Conditions.socket_exists,
    ("owner", "--suppl-groups"): Conditions.always,
    ("rpfilter", "--invert"): Conditions.reverse_path,
    **{
        ("rpfilter", name): Conditions.always
        for name in ("--loose", "--validmark", "--accept-local")
    },
    **{(name, "--sport"): Conditions.source_ports for name in ("tcp", "udp", "sctp")},
    ("multiport", "--sports"): Conditions.source_ports,
    # Always behind `-p icmp`: no packet to a Service is one.
    ("icmp", "--icmp-type"): Conditions.of_packet,
    ("icmp6", "--icmpv6-type"): Conditions.of_packet,
    ("addrtype", "--limit-iface-in"): Conditions.of_packet,
    ("addrtype", "--limit-iface-out"): Conditions.of_packet,
}
