"""The iptables rules that packets meet beside kube-proxy's nftables tables.

Port mappings of portmap, Docker or Tailscale are in table nat of iptables, whatever the mode of
kube-proxy. Only what comes before a packet's translation is read here, and what may change its mark
before it is masqueraded; table filter belongs to network policy and to the checks of the firewall.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import partial

from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.iptables.base_chains import VARIANTS
from wirecheck.dataplane.iptables.reader import LONGEST_SHARED
from wirecheck.dataplane.iptables.rules import MakeStep, steps_of
from wirecheck.dataplane.kube_chains import is_kubernetes
from wirecheck.dataplane.nftables.tables import PRIORITIES
from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.ruleset import Stage
from wirecheck.dataplane.rules.steps import Jump, Step
from wirecheck.parse.iptables import Chain, IptablesDump

BEFORE_TRANSLATION = ("raw", "mangle", "nat")


def stages_beside(
    hook: str,
    dumps: Sequence[IptablesDump],
    cache: ReaderCache,
    tables: Sequence[str] = BEFORE_TRANSLATION,
) -> Iterator[Stage]:
    """The base chains of iptables; `hook` is PREROUTING, OUTPUT, FORWARD or POSTROUTING."""
    for variant, dump in zip(VARIANTS, dumps, strict=False):
        for table in tables:
            chain = dump.chain(table, hook)
            if chain is None or not chain.block:
                continue
            chains = Chains(
                f"{variant} {table}",
                dump.tables[table].chains,
                partial(_steps, step_of=cache.step_of),
                _key,
                cache.rules.chains,
                variant=f"iptables ({variant})",
            )
            yield Stage(
                hook,
                chains,
                chain.policy,
                diverts=table == "nat",
                priority=PRIORITIES[table],
                translates=table == "nat",
            )


def _steps(chain: Chain, step_of: MakeStep) -> list[Step]:
    """The rules without calls of kube-proxy's own chains, which an earlier mode has left.

    kube_proxy.no_leftover_mode reports these.
    """
    return [
        step
        for step in steps_of(chain, step_of)
        if not any(isinstance(each, Jump) and is_kubernetes(each.chain) for each in step.actions)
    ]


def _key(chain: Chain) -> Hashable:
    """Equal for equal chains; another key than that of all their rules."""
    return (
        ("beside nftables", chain.block or chain.name)
        if len(chain.block) < LONGEST_SHARED
        else None
    )
