"""Whether a label selector matches, as far as the labels are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum

from wirecheck.snapshot.objects.network_policy import LabelExpression, LabelSelector


class Match(IntEnum):
    """Whether something matches. Of several conditions the least one counts."""

    NO = 0
    MAYBE = 1
    YES = 2


def match(selector: LabelSelector, labels: Mapping[str, str], *, complete: bool = True) -> Match:
    """Whether the selector matches; an empty one matches everything.

    `complete`: whether these are all labels. Otherwise a label that is missing may exist.
    """
    results = [_equal(labels.get(k), v, complete) for k, v in selector.match_labels.items()]
    results += [_expression(each, labels, complete) for each in selector.match_expressions]
    return min(results, default=Match.YES)


def keys_of(selectors: Iterable[LabelSelector | None]) -> set[str]:
    """The keys of the labels that the selectors name."""
    found: set[str] = set()
    for each in selectors:
        if each is not None:
            found |= each.match_labels.keys()
            found |= {expression.key for expression in each.match_expressions}
    return found


def _equal(value: str | None, wanted: str, complete: bool) -> Match:
    if value is None and not complete:
        return Match.MAYBE
    return Match.YES if value == wanted else Match.NO


def _expression(each: LabelExpression, labels: Mapping[str, str], complete: bool) -> Match:
    value = labels.get(each.key)
    if value is None and not complete:
        return Match.MAYBE
    match each.operator:
        case "In":
            found = value in each.values
        case "NotIn":  # an object without the label matches, too
            found = value not in each.values
        case "Exists":
            found = value is not None
        case "DoesNotExist":
            found = value is None
        case _:
            return Match.MAYBE
    return Match.YES if found else Match.NO
