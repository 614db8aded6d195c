"""Why an edit of iptables rules changes nothing for any Service, told from the text alone.

Nothing of the reader that is on trial is used here: rules are lists of words, and each reason
is one that can be checked by looking at the two rules.
"""

from __future__ import annotations

from collections.abc import Iterator

from testbed.referee.iptables_clients import (
    is_about_no_own_address,
    is_for_elsewhere,
    is_led_to,
    is_masqueraded_anyhow,
    is_never_pods,
    is_never_the_nodes,
    is_past_the_node,
)
from testbed.referee.iptables_ways import (
    does_nothing,
    endpoints,
    is_dropped_before,
    is_last,
    is_of_other_protocols,
    is_same_way,
    is_same_way_after_chain,
    is_same_way_without_chain,
    is_taken_before,
    only_counts,
    refuses_forwarded,
    way,
)
from testbed.referee.iptables_words import (
    Rule,
    is_exclusive,
    is_reachable,
    is_twin,
    rules_of,
)
from testbed.referee.mutation import Edit, NodeFacts

GONE = ("delete", "reorder")
"""Edits that leave a rule out, at least for the one that it changed places with."""


def why_harmless(edit: Edit, before: str, facts: NodeFacts) -> str:
    """The reason, or nothing where there is none."""
    return next(_reasons(edit, list(rules_of(before)), list(rules_of(edit.text)), facts), "")


def _reasons(edit: Edit, old: list[Rule], new: list[Rule], facts: NodeFacts) -> Iterator[str]:
    if edit.kind == "shadow" and edit.after.splitlines()[0] == edit.before:
        yield "both do the same"
        return
    at = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(new))
    rule = old[min(at, len(old) - 1)]
    if edit.kind in GONE:
        yield from _reasons_to_leave_out(rule, old, edit.text, facts)
    if not is_reachable(rule, old) and not is_reachable(rule, new):
        yield "no rule jumps to its chain"
    if edit.kind == "reorder":
        yield from _reasons_for_swap(rule, old[at + 1], old, facts)
        return
    if not rule.target:
        yield "the rule has no target"
    if is_taken_before(rule, old):
        yield "an earlier rule forwards all its packets to the same endpoints"
    yield from _reasons_for_own(rule, old, facts, edit.kind)
    if edit.kind == "shadow":
        yield from _reasons_for_shadow(rule, new[at], old)
    if edit.kind == "redirect":
        yield from _reasons_for_redirect(rule, new[at], old, new, facts)
    if edit.kind == "delete":
        yield from _reasons_for_delete(rule, at, old)


def _reasons_for_redirect(
    rule: Rule, fresh: Rule, old: list[Rule], new: list[Rule], facts: NodeFacts
) -> Iterator[str]:
    ways = way(rule, old), way(fresh, new)
    if ways[0] == ways[1]:
        yield "both chains do the same"
    if does_nothing(rule, old, facts) and (
        does_nothing(fresh, new, facts) or is_of_other_protocols(rule, fresh, old)
    ):
        yield "both target chains match other packets than those that get there"
    if not ways[1] and is_about_no_own_address(rule, old, facts):
        yield "no received packet has an address that its chain matches"
    at = old.index(rule) + 1
    follows = is_same_way(rule, old) or (at < len(old) and only_counts(rule, old[at]))
    if follows and is_of_other_protocols(rule, fresh, old):
        yield "it jumps to a chain of another protocol, and the following rules do the same"
    if not ways[1] and is_past_the_node(rule, old, facts):
        yield "the node is accepted at all addresses that its chain matches"


def _reasons_for_delete(rule: Rule, at: int, rules: list[Rule]) -> Iterator[str]:
    if any(is_twin(each, rule) for each in rules if each is not rule):
        yield "the same rule exists a second time"
    if at + 1 < len(rules) and only_counts(rule, rules[at + 1]):
        yield "the next rule does the same for more addresses"
    if is_same_way(rule, rules):
        yield "the following rules do the same"
    if is_same_way_without_chain(rule, rules) or is_same_way_after_chain(rule, rules):
        yield "the rules after the jumps to its chain do the same"
    if any(_is_rival(each, rule) for each in rules):
        yield "the rules of another Service that claims the address are in force"
    if is_dropped_before(rule, rules):
        yield "the firewall of load balancers drops the same"


def _reasons_to_leave_out(
    rule: Rule, rules: list[Rule], text: str, facts: NodeFacts
) -> Iterator[str]:
    """Why a rule may be left out, whatever comes in its place."""
    called = [each for each in rules if (each.table, each.chain) == (rule.table, rule.target)]
    if rule.target.startswith("KUBE-") and not called:
        yield "it jumps to an empty chain"
    elif does_nothing(rule, rules, facts):
        yield "its target chain matches other sources than those that get there"
    if rule.chain == "KUBE-POSTROUTING" and rule.target == "MARK":
        yield "no later rule checks the mark"
    if is_past_the_node(rule, rules, facts):
        yield "the node is accepted at all addresses that its chain matches"
    if is_about_no_own_address(rule, rules, facts):
        yield "no received packet has an address that its chain matches"
    if "KUBE-FIREWALL" in (rule.chain, rule.target):
        yield "only connections from outside to loopback addresses would match"
    if rule.matches.get("--ctstate") == "INVALID":
        yield "only packets without a connection would match"
    if "KUBE-FORWARD" in (rule.chain, rule.target) and not refuses_forwarded(rules, text):
        yield "it accepts packets that no other rule rejects"


def _reasons_for_own(rule: Rule, rules: list[Rule], facts: NodeFacts, kind: str) -> Iterator[str]:
    """About an endpoint that connects to itself, or the node."""
    if is_never_the_nodes(rule, rules, facts):
        yield "none of the node's own connections get there"
    if kind in GONE and is_for_elsewhere(rule, facts):
        yield "only a pod on another node that connects to itself would match"
    if kind != "redirect" and is_never_pods(rule, rules):
        yield "no packet from a pod gets there"
    source = rule.matches.get("-s", "")
    if rule.chain.startswith("KUBE-SEP-") and source and not is_led_to(rule, rules, facts):
        yield "no packet from that address is forwarded there"
    if kind in GONE and is_masqueraded_anyhow(rule, rules):
        yield "every connection to the Service is masqueraded anyway"


def _reasons_for_shadow(rule: Rule, fresh: Rule, rules: list[Rule]) -> Iterator[str]:
    if rule.target == fresh.target:
        yield "both do the same"
    if (rule.target, fresh.target) == ("RETURN", "ACCEPT") and is_last(rule, rules):
        yield "no rule follows the jumps to its chain"
    if any(is_twin(each, rule) for each in rules if each is not rule):
        yield "the same rule exists a second time"
    own = [each for each in rules if (each.table, each.chain) == (rule.table, rule.chain)]
    if any(_is_rival(each, rule) for each in own[: own.index(rule)]):
        yield "an earlier rule handles the address for another Service"


def _reasons_for_swap(one: Rule, other: Rule, rules: list[Rule], facts: NodeFacts) -> Iterator[str]:
    if not one.target or not other.target:
        yield "the rule has no target"
    if is_exclusive(one.matches, other.matches, facts.addresses):
        yield "no packet matches both"
    if one.does == other.does:
        yield "both do the same"
    own, others = (
        [r for r in rules if r.table == e.table and r.chain == e.target] for e in (one, other)
    )
    if (
        own
        and others
        and all(
            is_exclusive(left.matches, right.matches, facts.addresses)
            for left in own
            for right in others
        )
    ):
        yield "no packet matches a rule in both chains"
    yield from _reasons_for_own(one, rules, facts, "reorder")
    if is_for_elsewhere(other, facts):
        yield "only a pod on another node that connects to itself would match"
    if "--rcheck" in one.options and "--rcheck" in other.options:
        yield "either endpoint may already have the client's affinity entry"
    if endpoints(one, rules) and way(one, rules) == way(other, rules):
        yield "both forward to the same endpoints"


def _is_rival(one: Rule, other: Rule) -> bool:
    """Whether it is another Service's rule about the same address and port."""
    place = ("-d", "-p", "--dport")
    names = [each.options.get("--comment", "").split(" ")[0] for each in (one, other)]
    is_same = all(one.matches.get(key) == other.matches.get(key) for key in place)
    return is_same and "-d" in one.matches and names[0] != names[1]
