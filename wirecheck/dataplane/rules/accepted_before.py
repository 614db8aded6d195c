"""Which accepting rules keep a Service's connections from the rules that would handle them.

An ACCEPT ends only its base chain. It decides about a frontend if a later rule of that chain would
handle, reject or drop the connections; the many others that accept them change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from wirecheck.dataplane.rules.flows import Flow, Result
from wirecheck.dataplane.rules.handlings import Sent, results_of
from wirecheck.dataplane.rules.sources import Regions
from wirecheck.dataplane.table import NOTHING, Client, Handling, Verdict


def are_accepted(found: Mapping[Client, Handling]) -> bool:
    """Whether third-party rules accept connections that no rule handles."""
    return any(_is_accepted(each) for each in found.values())


def _is_accepted(handling: Handling) -> bool:
    is_passing = handling.verdict is Verdict.NOTHING and handling.third_party
    # Of a RETURN for some sources the rule is known.
    return is_passing and not handling.by_source


def with_new_stage(flows: Sequence[Flow]) -> list[Flow]:
    """The flows without the rules that accepted them in earlier base chains."""
    return [replace(each, accepted=()) if each.accepted else each for each in flows]


def with_decisive(
    found: Mapping[Client, Handling], past_accepts: Sequence[Sent], regions: Regions
) -> dict[Client, Handling]:
    """The handlings, with the rule that decides as evidence where connections are accepted.

    `past_accepts` are the results if nothing is accepted. Where no rule would handle the
    connections either, the rule that does is missing, and nothing else is the cause.
    """
    return {
        client: _decisive(client, each, past_accepts, regions) if _is_accepted(each) else each
        for client, each in found.items()
    }


def _decisive(
    client: Client, handling: Handling, past_accepts: Sequence[Sent], regions: Regions
) -> Handling:
    for bit, region in enumerate(regions.regions):
        if region.client is not client:
            continue
        for each in results_of(past_accepts, bit):
            if rules := _accepting(each):
                return replace(handling, evidence=rules)
    return NOTHING


def _accepting(result: Result) -> tuple[tuple[object, ...], ...]:
    """The rules that accept the connections in the base chain that would end them otherwise."""
    if result.verdict is Verdict.NOTHING:
        return ()
    return tuple(each.rules for each in result.flow.accepted)
