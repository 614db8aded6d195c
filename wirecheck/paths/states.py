"""Conditions on the state of a packet that connection tracking does not know.

Chains of a priority below -200 meet packets before connection tracking does: there every packet is
INVALID (xt_conntrack and nft_ct: no entry). A packet that a rule exempts is UNTRACKED from then on.
"""

from __future__ import annotations

import re

TRACKING = -200
"""NF_IP_PRI_CONNTRACK."""
INVALID, UNTRACKED, NEW = "INVALID", "UNTRACKED", "NEW"
CONDITION = re.compile(r"(! )?--(?:ct)?state ([A-Z,]+)|ct state (!= )?([a-z][a-z, ]*|\{[^}]*\})")
FURTHER = ("ctstatus", "ct status", "ctdir", "ct direction", "connmark", "ct mark")
"""Other conditions on connections, which are not followed here."""


def asks_for_connection(rule: str) -> bool:
    """Whether a rule has conditions on the connection that the packet belongs to."""
    return any(each in rule for each in FURTHER) or CONDITION.search(rule) is not None


def state_matches(rule: str, state: str) -> bool | None:
    """Whether the conditions of a rule on the connection match a packet in that state.

    None if it has conditions on the connection that are not followed.
    """
    if any(each in rule for each in FURTHER):
        return None
    answers = []
    for found in CONDITION.finditer(rule):
        states = re.findall(r"[A-Z]+", (found.group(2) or found.group(4)).upper())
        answers.append((state in states) is not bool(found.group(1) or found.group(3)))
    return all(answers)
