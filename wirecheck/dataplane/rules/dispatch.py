"""The question about dispatch: is there a rule for a pod's device among those for devices?

Plugins with policies have chains that send each pod's packets to rules of its own by the device,
and drop what comes in or leaves by a device that no rule names.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from wirecheck.dataplane.rules.chains import Chain, Chains
from wirecheck.dataplane.rules.engine import RuleEngine
from wirecheck.dataplane.rules.flows import Flow, is_refused
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket, OnePacket
from wirecheck.dataplane.rules.ruleset import Stage, reachable
from wirecheck.dataplane.rules.steps import IN, OUT, End, Jump, SourceTest, Step
from wirecheck.dataplane.table import Verdict, text_of


def named_devices(stage: Stage) -> dict[str, frozenset[str]]:
    """The devices that rules name, by the kind of condition; prefixes end with `+`."""
    tests = [test for chain in reachable(stage) for step in chain.steps for test in step.sources]
    return {
        kind: frozenset(each.value for each in tests if each.kind == kind) for kind in (IN, OUT)
    }


def unknown_device(
    chains: Chains[Any], base_chain: str, packet: ForwardedPacket, kind: str
) -> str | None:
    """The rule that refuses the packet because no rule names its device; None if none does.

    `kind` says which device: that of packets that come in, or that leave.
    """
    engine = RuleEngine(OnePacket(packet), chains)
    left = engine.to_end_of(base_chain, [Flow(1)])
    if left or engine.accepted or not all(map(is_refused, engine.results)):
        return None
    chain = chains.find(engine.ended_in)
    if chain is None or chain.name == base_chain:
        return None
    if not _dispatches(chain, kind, packet.device(kind)):
        return None
    return text_of(engine.results[-1].rules[-1])


def empty_chains(stage: Stage, kind: str) -> Iterator[tuple[str, str]]:
    """(device, chain) for each device whose packets are sent to a chain without rules."""
    for chain in reachable(stage):
        for step in chain.steps:
            names = [e.value for e in step.sources if e.kind == kind and not e.negated]
            for action in step.actions if names else ():
                called = stage.chains.find(action.chain) if isinstance(action, Jump) else None
                if called is not None and not called.steps:
                    yield from ((name, called.name) for name in names)


def _dispatches(chain: Chain, kind: str, device: str) -> bool:
    """Whether the chain has rules for other devices, or none at all, before its end refuses."""
    *others, last = chain.steps
    tests = [*_tests(others, kind)]
    return (
        _refuses_all(last)
        and not any(each.names_device(device) for each in tests)
        and (bool(tests) or not others)
    )


def _tests(steps: list[Step], kind: str) -> Iterator[SourceTest]:
    return (test for step in steps for test in step.sources if test.kind == kind)


def _refuses_all(step: Step) -> bool:
    is_for_some = step.protocol or step.host or step.port or step.tests or step.sources
    is_refusal = any(each in (End(Verdict.DROP), End(Verdict.REJECT)) for each in step.actions)
    return is_refusal and not (is_for_some or step.marks or step.never)


def pod_chains(stage: Stage, addresses: frozenset[str]) -> Mapping[str, str]:
    """The chain that a policy engine has for each pod, by the pod's address.

    kube-router calls it for what the pod sends and for what is sent to the pod, and accepts what
    the chain has marked. Both are the signs: chains have other names in each version.
    """
    found: dict[str, str] = {}
    for chain in reachable(stage):
        if any(step.marks and End(Verdict.NOTHING) in step.actions for step in chain.steps):
            found |= _called_both_ways(chain, addresses)
    return found


def _called_both_ways(chain: Chain, addresses: frozenset[str]) -> dict[str, str]:
    """The chains that are called for one address as source and as destination, and for no other."""
    sent: set[tuple[str, str]] = set()
    received: set[tuple[str, str]] = set()
    for step in chain.steps:
        for action in step.actions:
            if isinstance(action, Jump) and not step.protocol:
                sent |= {(each, action.chain) for each in _single_sources(step)}
                received |= {(step.host, action.chain)} if step.host else set()
    both = {(address, name) for address, name in sent & received if address in addresses}
    shared = Counter(name for _, name in sent | received)
    return {address: name for address, name in both if shared[name] == 1}


def _single_sources(step: Step) -> Iterator[str]:
    for each in step.sources:
        address, _, length = each.value.partition("/")
        if each.kind == "network" and not each.negated and length in ("", "32", "128"):
            yield address
