"""Rules of iptables-save as steps of a walk.

A match that is not known here becomes a condition that is not understood, and a target that
is not known an action that is not: whether either matters shows on the walk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from msgspec import structs

from wirecheck.addresses import address, network
from wirecheck.dataplane.ipsets import Resolve, not_understood
from wirecheck.dataplane.steps import (
    Action,
    Dnat,
    End,
    Jump,
    MarkTest,
    Opaque,
    Return,
    SetMark,
    SetTest,
    Source,
    SourceTest,
    Step,
    Test,
    own_address,
)
from wirecheck.dataplane.table import Verdict
from wirecheck.parse.iptables import Chain, Option, Rule, parse_rule

PROTOCOLS = {"6": "tcp", "17": "udp", "132": "sctp"}
FULL_MASKS = frozenset({"255.255.255.255", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"})

WITHOUT_EFFECT = frozenset(
    {
        *("", "LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "SET", "CLASSIFY", "TOS", "DSCP"),
        *("TCPMSS", "TTL", "HL", "CHECKSUM", "CONNMARK", "CONNSECMARK", "SECMARK", "TEE"),
        *("IDLETIMER", "RATEEST", "LED", "TCPOPTSTRIP", "ECN"),
    }
)
"""Targets after which the packet goes on; CONNMARK, as a new connection has no mark to restore."""

NOT_UNDERSTOOD = frozenset({"NETMAP", "TPROXY", "NFQUEUE", "QUEUE", "SYNPROXY", "REDIRECT"})


@lru_cache(maxsize=150_000)
def step_of(line: str) -> Step:
    """The step for a rule's line; the same rules recur on all nodes of a cluster."""
    rule = parse_rule(line)
    conditions = _Conditions()
    unknown: dict[str, list[Option]] = {}
    for option in rule.options:
        read = _READERS.get((option.module, option.name))
        if read is None or not read(conditions, option):
            unknown.setdefault(option.module, []).append(option)
    conditions.join_recent(unknown)
    others = tuple(SourceTest("other", _text(rule, module), negated=False) for module in unknown)
    sources = (*conditions.sources, *others)
    actions = (Opaque(rule.problem),) if rule.problem else _actions(rule)
    return Step(
        text=line,
        actions=actions,
        never=conditions.never,
        protocol=conditions.protocol,
        host=conditions.host,
        port=conditions.port,
        tests=tuple(conditions.tests),
        sources=sources,
        marks=tuple(conditions.marks),
        probability=conditions.probability,
        recalls=conditions.recalls,
        sets=tuple(conditions.sets),
        remembers=conditions.remembers,
        own=own_address(sources, actions) if not (conditions.marks or conditions.sets) else "",
    )


def steps_of(chain: Chain, resolve: Resolve | None = None) -> list[Step]:
    """The steps for the rules of a chain; without the sets that they ask, these are unknown."""
    steps = [step_of(line) for line in chain.rules]
    if not any(step.sets for step in steps):
        return steps
    if resolve is None:
        return [_without_sets(step) for step in steps]
    return [each for step in steps for each in resolve(step)]


def _without_sets(step: Step) -> Step:
    for test in step.sets:
        step = not_understood(test, structs.replace(step, sets=()))
    return step


def _text(rule: Rule, module: str) -> str:
    """A module's conditions as they are written, to be shown and to be told from others."""
    words = [f"-m {module}"] if module else []
    for each in rule.options:
        if each.module == module and (module or (module, each.name) not in _READERS):
            words += ["!"] * each.negated + [each.name, *each.values]
    return " ".join(word for word in words if word)


class _Conditions:
    """The conditions of a rule while they are collected.

    Each reader returns whether it understood the option.
    """

    def __init__(self) -> None:
        self.never = False
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

    def source(self, option: Option) -> bool:
        """-s RANGE."""
        self.sources.append(SourceTest("network", option.values[0], option.negated))
        return True

    def destination(self, option: Option) -> bool:
        """-d RANGE."""
        text = option.values[0]
        base, _, length = text.partition("/")
        if not option.negated and length in ("32", "128", ""):
            self.host = base if "." in base else str(address(base))
        else:
            ends = network(text)
            low, high = int(ends.network_address), int(ends.broadcast_address)
            self._test(lambda packet: low <= packet.number <= high, option)
        return True

    def protocol_name(self, option: Option) -> bool:
        """-p PROTOCOL."""
        name = PROTOCOLS.get(option.values[0], option.values[0])
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
        """--ctstate: what is walked is the first packet, before anything is translated."""
        self.never |= ("NEW" in option.values[0].split(",")) is option.negated
        return True

    def tcp_flags(self, option: Option) -> bool:
        """--tcp-flags as `--syn` is written: it holds for a first packet."""
        if option.values != ("FIN,SYN,RST,ACK", "SYN"):
            return False
        self.never |= option.negated
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
        self.never |= (value == 0) is option.negated
        return True

    def statistic_mode(self, option: Option) -> bool:
        """--mode random."""
        return option.values == ("random",)

    def statistic(self, option: Option) -> bool:
        """--probability P."""
        probability = float(option.values[0])
        self.probability = 1 - probability if option.negated else probability
        return 0 <= probability <= 1

    def recent(self, option: Option) -> bool:
        """The parts of `recent` that make session affinity; see `join_recent`."""
        self._recent[option.name] = option.values[0] if option.values else ""
        return not option.negated

    def virtual_server(self, option: Option) -> bool:
        """--vaddr, --vproto and --vport of ipvs: what the packet was sent to."""
        text = option.values[0]
        if option.name == "--vaddr":
            self.host = str(address(text.partition("/")[0]))
            self._sources_of_itself()
        elif option.name == "--vport":
            self.port = int(text)
        else:
            self.protocol = PROTOCOLS.get(text, text)
        return not option.negated

    def _sources_of_itself(self) -> None:
        """What comes from a virtual server's own address is sent by the node, which has it."""
        length = 128 if ":" in self.host else 32
        itself = SourceTest("network", f"{self.host}/{length}", negated=False)
        local = SourceTest("local", "", negated=False)
        self.sources = [local if each == itself else each for each in self.sources]

    def join_recent(self, unknown: dict[str, list[Option]]) -> None:
        """Whether the client is remembered, or to be: the options mean something together."""
        options = self._recent
        if not options or "recent" in unknown:
            return
        name = options.get("--name", "DEFAULT")
        if options.get("--mask") not in FULL_MASKS or "--rsource" not in options:
            unknown.setdefault("recent", [])
        elif "--set" in options:
            self.remembers = name
        elif "--rcheck" in options or "--update" in options:
            self.recalls = (name, int(options.get("--seconds", "0")))

    def match_set(self, option: Option) -> bool:
        """--match-set NAME dst,dst."""
        name, fields = option.values
        self.sets.append(SetTest(name, tuple(fields.split(",")), option.negated))
        return True

    def interface_in(self, option: Option) -> bool:
        """-i NAME."""
        self.sources.append(SourceTest("interface", option.values[0], option.negated))
        return True

    def always(self, option: Option) -> bool:
        """What counts packets and lets them all through."""
        return not option.negated

    def _test(self, test: Test, option: Option) -> None:
        if option.negated:
            self.tests.append(lambda packet: not test(packet))
        else:
            self.tests.append(test)


_READERS: dict[tuple[str, str], Callable[[_Conditions, Option], bool]] = {
    ("", "-s"): _Conditions.source,
    ("", "-d"): _Conditions.destination,
    ("", "-p"): _Conditions.protocol_name,
    ("", "-i"): _Conditions.interface_in,
    ("tcp", "--dport"): _Conditions.ports,
    ("udp", "--dport"): _Conditions.ports,
    ("sctp", "--dport"): _Conditions.ports,
    ("multiport", "--dports"): _Conditions.ports,
    ("tcp", "--tcp-flags"): _Conditions.tcp_flags,
    ("addrtype", "--dst-type"): _Conditions.destination_type,
    ("addrtype", "--src-type"): _Conditions.source_type,
    ("conntrack", "--ctstate"): _Conditions.state,
    ("state", "--state"): _Conditions.state,
    ("mark", "--mark"): _Conditions.mark,
    ("connmark", "--mark"): _Conditions.connection_mark,
    ("statistic", "--mode"): _Conditions.statistic_mode,
    ("statistic", "--probability"): _Conditions.statistic,
    **{
        ("recent", name): _Conditions.recent
        for name in (
            *("--set", "--rcheck", "--update", "--seconds", "--reap"),
            *("--name", "--mask", "--rsource"),
        )
    },
    ("set", "--match-set"): _Conditions.match_set,
    **{("ipvs", name): _Conditions.virtual_server for name in ("--vaddr", "--vproto", "--vport")},
    ("nfacct", "--nfacct-name"): _Conditions.always,
}


def _actions(rule: Rule) -> tuple[Action, ...]:
    """What the target does."""
    name = rule.target
    if name in WITHOUT_EFFECT:
        return ()
    if name in _PLAIN:
        return (_PLAIN[name],)
    if name in NOT_UNDERSTOOD:
        return (Opaque(f"what target {name} does is not understood"),)
    if name not in _WITH_OPTIONS:
        return (Jump(name, rule.goto),)
    try:
        return _WITH_OPTIONS[name]({each.name: each.values for each in rule.target_options})
    except (KeyError, IndexError, ValueError):
        return (Opaque(f"the options of target {name} are not understood"),)


_Options = Mapping[str, tuple[str, ...]]


def _destination(options: _Options) -> tuple[Action, ...]:
    """`10.244.1.3:8080`, `[fd00::3]:8080`, `10.244.1.3`; ValueError for ranges."""
    text = options["--to-destination"][0]
    if text.startswith("["):
        host, _, port = text[1:].partition("]:")
    elif text.count(":") > 1:
        host, port = text, "0"
    else:
        host, _, port = text.partition(":")
    return (Dnat(str(address(host)), int(port or "0")),)


def _mark(options: _Options) -> tuple[Action, ...]:
    value, _, mask = options["--set-xmark"][0].partition("/")
    return (SetMark(clear=int(mask or "0xffffffff", 0), flip=int(value, 0)),)


def _tracking(options: _Options) -> tuple[Action, ...]:
    return (End(Verdict.UNTRACKED),) if "--notrack" in options else ()


_WITH_OPTIONS: dict[str, Callable[[_Options], tuple[Action, ...]]] = {
    "DNAT": _destination,
    "MARK": _mark,
    "CT": _tracking,
}

_PLAIN: dict[str, Action] = {
    "ACCEPT": End(Verdict.NOTHING),
    "DROP": End(Verdict.DROP),
    "REJECT": End(Verdict.REJECT),
    "RETURN": Return(),
    "MASQUERADE": Source(),
    "SNAT": Source(),
    "NOTRACK": End(Verdict.UNTRACKED),
}
