"""Rules of iptables-save as steps for the rule engine.

Unrecognised matches and targets are kept as text. Whether one matters depends on the packets that
reach the rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from msgspec import structs

from wirecheck.addresses import canonical
from wirecheck.dataplane.iptables.conditions import Conditions
from wirecheck.dataplane.rules.ipsets import Resolve, not_understood
from wirecheck.dataplane.rules.steps import (
    BY_PROGRAM,
    HERE,
    Action,
    Dnat,
    End,
    Jump,
    Opaque,
    Return,
    SetMark,
    Source,
    SourceTest,
    Step,
    own_address,
)
from wirecheck.dataplane.table import Verdict
from wirecheck.parse.iptables import Chain, Option, Rule, parse_rule

WITHOUT_EFFECT = frozenset(
    {
        *("", "LOG", "NFLOG", "ULOG", "TRACE", "AUDIT", "SET", "CLASSIFY", "TOS", "DSCP"),
        *("TCPMSS", "TTL", "HL", "CHECKSUM", "CONNMARK", "CONNSECMARK", "SECMARK", "TEE"),
        *("IDLETIMER", "RATEEST", "LED", "TCPOPTSTRIP", "ECN"),
    }
)
"""Targets after which the packet continues. CONNMARK: new connections have no mark to restore."""

NOT_UNDERSTOOD = frozenset({"NETMAP", "SYNPROXY"})
OF_PROGRAMS = frozenset({"NFQUEUE", "QUEUE", "TPROXY"})
"""Targets by which a program decides: an intrusion detection system, or a proxy."""


NOWHERE = frozenset({"0.0.0.0", "::"})

LONG = 8
"""Chains of more rules differ from node to node in the order of their rules."""


def make_step(line: str) -> Step:
    """The step for a rule's line."""
    rule = parse_rule(line)
    step = _conditions_of(rule.options)
    actions = (Opaque(rule.problem),) if rule.problem else _actions(rule)
    own = "" if step.marks or step.sets else own_address(step.sources, actions)
    step = structs.replace(step, rule=line, actions=actions, own=own)
    return _with_connection_mark(step, rule) if rule.target == "CONNMARK" else step


def _with_connection_mark(step: Step, rule: Rule) -> Step:
    """What CONNMARK does: restores the packet's mark, or gives one to the connection."""
    options = {each.name: each.values for each in rule.target_options}
    saves = "--restore-mark" not in options
    try:
        (mask,) = ("0",) if saves else options.get("--nfmask", ("0xffffffff",))
        restores = int(mask, 0)
    except ValueError:
        restores = 0
    return structs.replace(step, restores_mark=True, restores=restores, saves_mark=saves)


@lru_cache(maxsize=1_000)
def _conditions_of(options: tuple[Option, ...]) -> Step:
    """A step with these conditions and no action; those of different Services are alike."""
    conditions = Conditions()
    unknown: dict[str, list[Option]] = {}
    for option in options:
        if not conditions.add(option):
            unknown.setdefault(option.module, []).append(option)
    conditions.join_recent(unknown)
    others = tuple(
        SourceTest("other", _text(options, module, of), negated=False)
        for module, of in unknown.items()
    )
    return Step(
        rule="",
        never=conditions.never,
        first=conditions.first,
        later=conditions.later,
        protocol=conditions.protocol,
        host=conditions.host,
        port=conditions.port,
        tests=tuple(conditions.tests),
        sources=(*conditions.sources, *others),
        marks=tuple(conditions.marks),
        probability=conditions.probability,
        recalls=conditions.recalls,
        sets=tuple(conditions.sets),
        remembers=conditions.remembers,
    )


MakeStep = Callable[[str], Step]


def steps_of(
    chain: Chain, step_of: MakeStep = make_step, resolve: Resolve | None = None
) -> list[Step]:
    """The steps for the rules of a chain.

    `step_of` makes the steps of long chains, and may keep them. Without `resolve`,
    conditions on ipsets are unrecognised.
    """
    rules = chain.rules
    make = step_of if len(rules) > LONG else make_step
    steps = [make(line) for line in rules]
    if not any(step.sets for step in steps):
        return steps
    if resolve is None:
        return [_without_sets(step) for step in steps]
    return [each for step in steps for each in resolve(step)]


def _without_sets(step: Step) -> Step:
    for test in step.sets:
        step = not_understood(test, structs.replace(step, sets=()))
    return step


def _text(options: tuple[Option, ...], module: str, unknown: list[Option]) -> str:
    """Conditions as the rule has them.

    An unrecognised match keeps all its options: they have a meaning only together.
    """
    words = [f"-m {module}"] if module else []
    for each in options:
        if each in unknown or (module and each.module == module):
            words += ["!"] * each.negated + [each.name, *each.values]
    return " ".join(word for word in words if word)


def _actions(rule: Rule) -> tuple[Action, ...]:
    """The actions of the target."""
    name = rule.target
    if name in WITHOUT_EFFECT:
        return ()
    if name in _PLAIN:
        return (_PLAIN[name],)
    if name in NOT_UNDERSTOOD or name in OF_PROGRAMS:
        unsupported = f"target {name} is not supported"
        return (Opaque(f"{BY_PROGRAM} ({name})" if name in OF_PROGRAMS else unsupported),)
    if name not in _WITH_OPTIONS:
        return (Jump(name, rule.goto),)
    options = {each.name: each.values for each in rule.target_options}
    try:
        if len(options) < len(rule.target_options):
            raise ValueError(f"an option of {name} is repeated")
        return _WITH_OPTIONS[name](options)
    except (KeyError, IndexError, ValueError):
        return (Opaque(f"the options of target {name} are not supported"),)


_Options = Mapping[str, tuple[str, ...]]


def _destination(options: _Options) -> tuple[Action, ...]:
    """`10.244.1.3:8080`, `[fd00::3]:8080`, `10.244.1.3`; ValueError for ranges.

    Also for the address 0.0.0.0 and port 0, which nobody can write: a listing by another version
    of iptables than the writer's has them.
    """
    text = options["--to-destination"][0]
    if text.startswith("["):
        host, _, port = text[1:].partition("]:")
    elif text.count(":") > 1:
        host, port = text, ""
    else:
        host, _, port = text.partition(":")
    if host in NOWHERE or port == "0":
        raise ValueError(text)
    return (Dnat(canonical(host), int(port or "0")),)


def _redirection(options: _Options) -> tuple[Action, ...]:
    """`--to-ports 8080`; ValueError for ranges."""
    (port,) = options.get("--to-ports", ("0",))
    return (Dnat(HERE, int(port)),)


def _mark(options: _Options) -> tuple[Action, ...]:
    value, _, mask = options["--set-xmark"][0].partition("/")
    return (SetMark(clear=int(mask or "0xffffffff", 0), flip=int(value, 0)),)


def _tracking(options: _Options) -> tuple[Action, ...]:
    return (End(Verdict.UNTRACKED),) if "--notrack" in options else ()


_WITH_OPTIONS: dict[str, Callable[[_Options], tuple[Action, ...]]] = {
    "DNAT": _destination,
    "REDIRECT": _redirection,
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
