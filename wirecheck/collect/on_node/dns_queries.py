"""Sends the plan's DNS queries from every pod's netns and from the node's own."""

import base64
from typing import Any, Dict, List, Optional

from wirecheck.collect.on_node import commands, own_servers
from wirecheck.collect.on_node.namespaces import enter
from wirecheck.collect.on_node.probes import Limits, Loop, Probe
from wirecheck.collect.on_node.visit_state import VisitState

JsonObject = Dict[str, Any]

MOST_NAT_LISTINGS = 20
NAT_TARGETS = ("REDIRECT", "DNAT", "TPROXY")


def send_queries(visit: VisitState) -> None:
    """Send the queries of the plan and wait for all answers together."""
    dns = visit.plan["dns"]
    probes = [
        probe
        for each in dns["node"] + own_servers.of_the_node(visit)
        for probe in _probes(visit, visit.namespaces.host, each)
    ]
    left_out = dns["left_out"] + dns.get("hidden", [])
    silent = {visit.inode_of(uid) for uid in left_out} | {visit.namespaces.host}
    for inode in sorted(set(visit.netns.values()) - silent):
        probes += _probes_from_pod(visit, inode, dns["pods"])
    for uid in dns["pair_sources"]:
        probes += _probes_from_pod(visit, visit.inode_of(uid), dns["pairs"])
    for inode, query in own_servers.of_pods(visit, silent):
        probes += _probes(visit, inode, query)
    probes += _samples_from_pods(visit, dns.get("pod_samples"))
    Loop(visit.namespaces, Limits(dns["rate"], dns["timeout"]), visit.deadline).run(probes)
    visit.document["probes"] = [each.record for each in probes]


def _probes_from_pod(visit: VisitState, inode: int, queries: List[JsonObject]) -> List[Probe]:
    """Probes of the first server in any case; of others only if the pod has their family."""
    if inode not in visit.namespaces.descriptors or inode == visit.namespaces.host:
        return []
    return [
        probe
        for each in queries
        if each["server"] == queries[0]["server"] or visit.has_family(inode, each["server"])
        for probe in _probes(visit, inode, each)
    ]


def _probes(visit: VisitState, inode: int, query: JsonObject) -> List[Probe]:
    """One probe with several attempts, or `times` probes with a single attempt each."""
    dns = visit.plan["dns"]
    identities = [query["query"], query.get("second")]
    wires = [base64.b64decode(dns["queries"][each]) for each in identities if each]
    times = query.get("times", 0)
    tries = 1 if times else dns["tries"]
    return [Probe(inode, query, wires, tries) for _ in range(times or 1)]


def _samples_from_pods(visit: VisitState, wanted: Optional[JsonObject]) -> List[Probe]:
    """Single attempts, spread evenly over pods and replicas; the last ones to be sent."""
    uids = wanted["sources"] if wanted else ()
    host = visit.namespaces.host
    sources = [
        inode
        for inode in map(visit.inode_of, uids)
        if inode in visit.namespaces.descriptors and inode != host
    ]
    probes: List[Probe] = []
    if wanted and sources:
        asks = wanted["asks"]
        for number in range(wanted["count"]):
            turn, place = divmod(number, len(sources))
            ask = dict(asks[(turn + place) % len(asks)], times=1)
            if visit.has_family(sources[place], ask["server"]):
                probes += _probes(visit, sources[place], ask)
    return probes


def list_redirects(visit: VisitState) -> None:
    """List the nat rules inside pods that got no response: a service mesh redirects there."""
    silent = []
    for probe in visit.document.get("probes", ()):
        tries = probe["tries"]
        is_lost = tries and "answer" not in tries[-1] and probe["purpose"] != "pod sample"
        if is_lost and probe["inode"] not in silent:
            silent.append(probe["inode"])
    records = {record["inode"]: record for record in visit.document["namespaces"]}
    for inode in silent[:MOST_NAT_LISTINGS]:
        if inode != visit.namespaces.host:
            rules = _nat_rules(visit, inode)
            if rules:
                records[inode]["redirect"] = rules


def _nat_rules(visit: VisitState, inode: int) -> str:
    with visit.namespaces.inside(inode):
        legacy = "nat" in commands.legacy_tables()
    identity = "pod-nat-legacy" if legacy else "pod-nat"
    descriptor = visit.namespaces.descriptors[inode]
    output = commands.run(identity, visit.limit(), lambda: enter(descriptor)).get("output", "")
    return "".join(
        line + "\n"
        for line in output.splitlines()
        if line.startswith("-A") and any(target in line for target in NAT_TARGETS)
    )[:4000]
