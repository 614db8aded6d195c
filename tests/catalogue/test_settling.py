"""Each check that settles declares what proves its findings, and its page says so."""

from __future__ import annotations

import pytest

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.pages import as_page, as_text
from wirecheck.catalogue.registry import load
from wirecheck.catalogue.settling import Evidence

SETTLING = [check for check in load() if check.settles]
ONLY_ROUNDS = {
    # A node that reboots is NotReady for minutes, and comes back.
    "nodes.ready",
    "nodes.network_ready",
}
PROBING = {"dns", "reachability"}


def test_all_but_these_name_their_evidence():
    assert {check.id for check in SETTLING if not check.evidence} == ONLY_ROUNDS
    assert not [check.id for check in load() if check.evidence and not check.settles]


@pytest.mark.parametrize("check", SETTLING, ids=lambda check: check.id)
def test_the_page_says_what_proves_a_finding(check):
    for text in (as_page(check), " ".join(as_text(check).split())):
        assert ("proves that it is not a change in flight" in text) is bool(check.evidence)
        for number, each in enumerate(check.evidence, start=1):
            assert f"({number}) {each.value.replace('`', '')}" in text


@pytest.mark.parametrize("check", SETTLING, ids=lambda check: check.id)
def test_a_probe_has_to_fail_twice(check):
    """A node can restart after it was visited, while others still connect to it."""
    waits = {Evidence.REPEATED, Evidence.PERSISTENT} & set(check.evidence)
    if check.group in PROBING and check.id not in ("dns.replicas_ready", "dns.resolv_conf"):
        assert waits


@pytest.mark.parametrize("check", SETTLING, ids=lambda check: check.id)
def test_what_is_compared_with_the_api_needs_old_objects_or_two_rounds(check):
    if check.evidence:
        of_objects = {Evidence.OBJECTS, Evidence.CONTROLLED, Evidence.SET_UP}
        assert (of_objects | {Evidence.REPEATED, Evidence.PERSISTENT}) & set(check.evidence)


@pytest.mark.parametrize("check", SETTLING, ids=lambda check: check.id)
def test_only_what_the_api_alone_shows_has_the_shorter_time(check):
    """A node follows the API only after kube-proxy's sync period."""
    if Evidence.CONTROLLED in check.evidence:
        assert check.facts == (Fact.API,)
