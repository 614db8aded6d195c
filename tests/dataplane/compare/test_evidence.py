"""Evidence that is cut keeps the rule that decides: the last one."""

from __future__ import annotations

import pytest

from wirecheck.api_index.backend import Backend, ServicePort
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.deviations import MOST_LINES
from wirecheck.dataplane.compare.differences import Kind
from wirecheck.dataplane.table import Client, Entry, Frontend, Handling, ServiceTable, Verdict

FRONTEND = Frontend(4, "10.96.0.20", "tcp", 80)
OWNER = ServicePort("shop", "web", "http", "tcp")
BACKEND = Backend("10.244.1.2", 8080)
PATH = tuple(f"-A KUBE-SERVICES -m comment --comment {number}" for number in range(40))
DECIDES = "-A HOUSE-RULES -j DROP"


def differences(wanted: Handling, found: Handling):
    tables = [
        ServiceTable(entries={FRONTEND: Entry(FRONTEND, dict.fromkeys(Client, each), OWNER)})
        for each in (wanted, found)
    ]
    return compare(*tables)


@pytest.mark.parametrize("length", [1, 11, 12, 13, 40])
def test_of_a_drop_the_dropping_rule_is_shown(length):
    found = Handling(Verdict.DROP, evidence=((*PATH[: length - 1], DECIDES),))

    (difference,) = differences(Handling(Verdict.REJECT), found)

    assert difference.evidence[-1] == DECIDES
    assert len(difference.evidence) == min(length, MOST_LINES)
    assert length <= MOST_LINES or "more lines" in difference.evidence[5]


@pytest.mark.parametrize("length", [1, 6, 7, 40])
def test_of_refused_sources_the_refusing_rule_is_shown(length):
    found = Handling(
        Verdict.FORWARD,
        backends=(BACKEND,),
        shares=(1.0,),
        allowed=("10.0.0.0/8",),
        evidence=(PATH,),
        refusing=(*(f"-A ROAD {number}" for number in range(length - 1)), DECIDES),
    )

    wanted = Handling(Verdict.FORWARD, backends=(BACKEND,), shares=(1.0,))
    (difference,) = differences(wanted, found)

    assert difference.kind is Kind.SOURCES
    assert DECIDES in difference.evidence
    assert difference.evidence[-1] == PATH[-1]
    assert len(difference.evidence) <= MOST_LINES


def test_a_stale_frontend_shows_where_it_leads():
    found = Handling(
        Verdict.FORWARD, backends=(BACKEND,), shares=(1.0,), evidence=((*PATH, DECIDES),)
    )
    entry = Entry(FRONTEND, dict.fromkeys(Client, found), programmed_by="KUBE-SVC-WEB")

    (difference,) = compare(ServiceTable(entries={}), ServiceTable(entries={FRONTEND: entry}))

    assert difference.kind is Kind.FRONTEND_STALE
    assert difference.evidence[-1] == DECIDES
