"""How a check settles: what proves that a finding is not a change in flight.

The API and a node follow each other with a delay. A finding counts at once if the snapshot proves
that nothing it depends on changed recently; otherwise further rounds have to confirm it.
"""

from __future__ import annotations

from enum import Enum

OLD = 45.0
"""Seconds without a change: kube-proxy's usual sync period of 30, and 15 for clocks that differ."""
FOLLOWED = 25.0
"""Seconds without a change for what controllers write: another leader takes over within 17 (a lease
of 15, and 2 until it tries again), and then lists the objects."""
QUIET = 30.0
"""Seconds in which no change reached kube-proxy, by the node's own clock: its sync period."""
UP = 120.0
"""Seconds since the node started: its agents set up routes, rules and pods again in that time."""
SOON = 5.0
"""Seconds from the beginning of a round to that of another which repeats a finding (REPEATED)."""
LATER = 10.0
"""Seconds from the end of a round to the beginning of another for PERSISTENT."""


class Evidence(Enum):
    """One fact in the snapshot that shows that a finding is old. The value explains it."""

    OBJECTS = (
        f"the API objects of the finding, with the EndpointSlices of its Services, have not "
        f"changed for {OLD:.0f} s"
    )
    CONTROLLED = (
        f"the API objects of the finding, with the EndpointSlices of its Services, have not "
        f"changed for {FOLLOWED:.0f} s, in which their controllers update the rest of the API"
    )
    SET_UP = (
        f"in the last {OLD:.0f} s, none of the finding's pods was created, restarted or deleted, "
        f"none of its Services was edited, and none of its nodes was added (readiness and "
        f"EndpointSlices do not count, because the fault itself can change them)"
    )
    NODE = (
        f"the node has been up for {UP:.0f} s, and none of its network agents (pods of DaemonSets "
        f"and static pods on the host network) was started or deleted in the last {OLD:.0f} s"
    )
    PEERS = "the nodes at the other end were visited in the same round, and the same is true there"
    PROXY = (
        f"no change is waiting for kube-proxy's next sync, or one has been waiting for "
        f"{OLD:.0f} s; if the finding is about no API object, kube-proxy also reports that no "
        f"change has reached it for {QUIET:.0f} s"
    )
    DNS = (
        f"in the last {OLD:.0f} s, no DNS Service was edited and no replica was created, restarted "
        f"or deleted; for the nodes of the replicas the same is true as for the node itself"
    )
    REPEATED = (
        f"a second round, which began at least {SOON:.0f} s after the first one began, has the "
        f"same finding"
    )
    PERSISTENT = (
        f"a second round, which began at least {LATER:.0f} s after the first one ended, has the "
        f"same finding"
    )


API_ALONE = (Evidence.CONTROLLED,)
"""The check compares API objects with each other."""
ON_NODE = (Evidence.SET_UP, Evidence.NODE)
"""The check compares what the node itself has with the API: devices, routes, settings."""
TO_PEERS = (Evidence.SET_UP, Evidence.NODE, Evidence.PEERS)
"""The check compares what the node has for other nodes with the API: routes, tunnels."""
PROXY_RULES = (Evidence.OBJECTS, Evidence.NODE, Evidence.PROXY)
"""The check compares kube-proxy's rules with the API."""
COMING_AND_GOING = (Evidence.SET_UP, Evidence.NODE, Evidence.REPEATED)
"""The check is about processes, which can be restarted before the API shows it."""
CLAIMS = (Evidence.PERSISTENT,)
"""The check compares objects of the network with each other, whose changes are not watched."""
CUSTOM_OBJECTS = (Evidence.SET_UP, Evidence.NODE, Evidence.REPEATED)
"""The check compares the node with objects of its network, whose changes are not watched."""
ENFORCED = (Evidence.SET_UP, Evidence.NODE, Evidence.PERSISTENT)
"""The check compares rules on the node with policies, pods and namespaces, whose labels change."""
READINESS = (Evidence.OBJECTS, Evidence.NODE, Evidence.REPEATED)
"""The check is about whether an agent of the node is ready."""
LEFT_OVER = (Evidence.NODE, Evidence.PERSISTENT)
"""The check is about what is left of objects that the API no longer has."""
OF_PODS = (Evidence.OBJECTS, Evidence.PEERS)
"""The check is about the readiness of pods, which a restart of their node ends."""
OF_DELETED = (Evidence.CONTROLLED, Evidence.PERSISTENT)
"""The check compares API objects with others, which can have been deleted a moment ago."""
STALE_ENTRIES = (Evidence.OBJECTS, *LEFT_OVER)
"""The check is about entries that kube-proxy deletes when a Service's endpoints change."""
LONG_CONNECTIONS = (Evidence.OBJECTS, Evidence.NODE, Evidence.PEERS, Evidence.PERSISTENT)
"""The check connects to API servers, which are restarted one after the other."""
CONNECTIONS = (Evidence.OBJECTS, Evidence.NODE, Evidence.PEERS, Evidence.REPEATED)
"""The check sends packets to other nodes, which can restart after they were visited."""
QUERIES = (Evidence.SET_UP, Evidence.NODE, Evidence.DNS, Evidence.REPEATED)
"""The check sends DNS queries."""
RECORDS = (Evidence.OBJECTS, Evidence.NODE, Evidence.DNS, Evidence.REPEATED)
"""The check compares answers with EndpointSlices, which CoreDNS follows within its TTL of 30 s."""
MEASURED_QUERIES = (Evidence.NODE, Evidence.DNS, Evidence.PERSISTENT)
"""The check measures DNS queries, which a short load can delay or lose."""
