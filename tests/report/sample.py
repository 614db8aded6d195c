"""Runs made by hand: a broken one that has every outcome, a healthy one, empty and large ones."""

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.results.ordering import REACHABLE
from wirecheck.results.records import (
    FORMAT,
    CheckRecord,
    ClusterRecord,
    Coverage,
    FindingRecord,
    ItemResult,
    Object,
    Override,
    Results,
    RunEnded,
    RunStarted,
)


class Runs(Mapping[str, Results]):
    """Runs by name. Each is made when a test asks for it: large ones take seconds."""

    def __init__(self, makers: Mapping[str, Callable[[], Results]]) -> None:
        self.makers = makers
        self._made: dict[str, Results] = {}

    def __getitem__(self, name: str) -> Results:
        if name not in self._made:
            self._made[name] = self.makers[name]()
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.makers)

    def __len__(self) -> int:
        return len(self.makers)


HOSTILE = "<script>alert(1)</script>\x1b[31mred\x1b[0m\u202eevil\x00"
REFUSED = (
    "ssh://ops@10.0.3.7 refused the connection (Connection refused): see whether sshd runs on "
    "the node, then `ssh ops@10.0.3.7 true`."
)
TIMED_OUT = (
    "The visit to w9 took longer than 60 s: look at the node's load, or raise `limits.node` in "
    "the inventory."
)
DELETED = "The API no longer lists the node: it was deleted while others were visited."

CHECKS = (
    (REACHABLE, "The node was visited, and the host that answered proved to be this node."),
    ("nodes.ready", "The node is Ready in the eyes of the API."),
    ("nodes.ip_forward", "The kernel forwards packets in every address family of its pods."),
    ("pods.carries_its_addresses", "Each pod's interface carries every address the API shows."),
    ("pods.addresses_are_unique", "No two pods of the cluster have the same address."),
    ("links.both_ends_are_up", "Both ends of each veth pair exist, point at each other, are up."),
    ("links.mtu_is_equal", "Both ends of each veth pair have the same MTU."),
    ("links.no_orphans", "No host-side interface is left over from a pod that is gone."),
    ("dns.pods_resolve_udp", "Every pod resolves a Service's name over UDP, correctly."),
    ("dns.pods_resolve_tcp", "Every pod resolves a Service's name over TCP as well."),
    ("dns.replicas_answer", "Every DNS replica answers this node directly, without the Service."),
    ("conntrack.table_usage", "The conntrack tables of the node and of every pod have room."),
    ("conntrack.no_drops", "conntrack drops no packets."),
    ("conntrack.no_stale_udp_entries", "No UDP entry sends queries to a backend that is gone."),
    ("services.are_programmed", "Each Service leads to exactly the backends that the API lists."),
    ("services.kube_proxy_is_in_sync", "kube-proxy has synchronised since the last change."),
    ("services.ipvs_weights_are_even", "IPVS spreads connections evenly over the backends."),
    ("routes.reach_every_node", "A route leads to the pod range of every other node."),
    ("firewall.has_no_leftovers", "No rule of another tool drops what Kubernetes lets through."),
)
CLUSTER_CHECKS = ("pods.addresses_are_unique",)
WHY = (
    "A pod that fails here stays Running and Ready, so kubectl shows nothing, and nobody can "
    "reach it: connections to it time out, one in so many, depending on the backend chosen."
)
REMEDY = (
    "Recreate the pod (kubectl -n NAMESPACE delete pod NAME); then read "
    "the CNI plugin's log on the node."
)


def records(ids: Iterable[tuple[str, str]] = CHECKS) -> list[CheckRecord]:
    return [
        CheckRecord(i, s, WHY, REMEDY, "cluster" if i in CLUSTER_CHECKS else "node") for i, s in ids
    ]


def finding(
    kind: str, name: str, expected: str, found: str, level: Level = Level.FAIL, **more: object
) -> FindingRecord:
    namespace, _, short = name.rpartition("/")
    fields = {k: more.pop(k) for k in ("part", "uid", "workload") if k in more}
    about = Object(kind=kind, name=short, namespace=namespace, **fields)  # type: ignore[arg-type]
    return FindingRecord(about, level, expected, found, key=f"{kind}/{name}", **more)  # type: ignore[arg-type]


PARTICULAR: dict[tuple[str, str], ItemResult] = {}


def _particular(*items: ItemResult) -> None:
    PARTICULAR.update({(item.check, item.node): item for item in items})


_particular(
    ItemResult(
        "pods.carries_its_addresses",
        Outcome.FAIL,
        node="w2",
        findings=[
            finding(
                "Pod",
                "shop/web-6d4cf56db6-x2x7q",
                "10.32.2.17 on eth0",
                "nothing",
                part="eth0",
                workload="Deployment/web",
                looks=3,
                evidence=[
                    "netns of pid 21734:",
                    "2: eth0@if41: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450 qdisc noqueue "
                    "state UP\n    link/ether 2e:9f:51:c6:d0:0b brd ff:ff:ff:ff:ff:ff",
                ],
            ),
            finding("Pod", "shop/cart-0", "10.32.2.18, fd00:2::12", "10.32.2.18", part="eth0"),
            finding("Pod", f"shop/{HOSTILE}", "10.32.2.99", HOSTILE, evidence=[HOSTILE]),
        ],
    ),
    ItemResult(
        "services.are_programmed",
        Outcome.FAIL,
        node="w2",
        findings=[
            finding(
                "Service",
                "kube-system/kube-dns",
                "10.32.1.4:53, 10.32.4.9:53",
                "10.32.1.4:53",
                part="10.96.0.10:53/TCP",
                looks=3,
                evidence=["-A KUBE-SVC-ERIFXISQEP7F7OF4 -j KUBE-SEP-3JT2VGMSY2VZG5XZ"],
            ),
            finding(
                "Service",
                "shop/web",
                "10.32.2.17:8080, 10.32.5.3:8080",
                "10.32.2.17:8080, 10.32.5.3:8080, 10.32.7.77:8080 (no such endpoint)",
                part="10.96.41.7:80/TCP",
                looks=3,
            ),
        ],
        undecided=["Service shop/search"],
    ),
    ItemResult(
        "services.are_programmed",
        Outcome.FAIL,
        node="w5",
        findings=[
            finding(
                "Service",
                f"load/svc-{number:03}",
                "3 backends",
                "not programmed",
                part=f"10.96.{number}.1:80/TCP",
                looks=3,
            )
            for number in range(34)
        ],
    ),
    ItemResult(
        "services.kube_proxy_is_in_sync",
        Outcome.FAIL,
        node="w5",
        findings=[
            finding(
                "Node",
                "w5",
                "a sync after 2026-11-23T02:58:11Z",
                "last one 2026-11-22T19:03:40Z, 7 h 55 min before",
                part="kube-proxy",
                evidence=['{"lastUpdated":"2026-11-22 19:03:40","currentTime":"…"}'],
            )
        ],
    ),
    ItemResult(
        "dns.pods_resolve_tcp",
        Outcome.ERROR,
        node="w4",
        reason="The probe's socket could not be opened in 3 netns (Too many open files): raise "
        "`ulimit -n` for the user that wirecheck logs in as.",
    ),
    ItemResult(
        "firewall.has_no_leftovers",
        Outcome.ERROR,
        node="w6",
        reason="Rule 14 of chain FORWARD has the match `-m geoip`, which is not known: open an "
        "issue with the line `-A FORWARD -m geoip --src-cc XX -j DROP`.",
        findings=[
            finding("Node", "w6", "known rules", "-m geoip", Level.ERROR, part="filter FORWARD")
        ],
    ),
    ItemResult(
        "conntrack.table_usage",
        Outcome.WARN,
        node="w1",
        findings=[
            finding(
                "Node",
                "w1",
                "at most 75 % of 262,144 entries",
                "211,004 entries, 80 %",
                Level.WARN,
                part="conntrack",
            )
        ],
    ),
    ItemResult(
        "links.no_orphans",
        Outcome.WARN,
        node="w3",
        findings=[
            finding("link", "veth3f1c09ab", "a pod behind it", "none", Level.WARN, part="on cni0")
        ],
    ),
    ItemResult(
        "conntrack.no_drops",
        Outcome.WAIVED,
        node="w1",
        reason="burst test until the new limit is rolled out (sre-net, until 2026-12-31)",
        findings=[
            finding("Node", "w1", "drop does not grow", "+12 within 2.0 s", part="conntrack drop")
        ],
    ),
    ItemResult(
        "links.mtu_is_equal",
        Outcome.KNOWN,
        node="w3",
        findings=[
            finding("Pod", "batch/import-28", "mtu 1450 on both ends", "1450, 1500", part="eth0")
        ],
    ),
    ItemResult(
        "dns.pods_resolve_udp",
        Outcome.PASS,
        node="w1",
        unjudged={"NetworkPolicy shop/deny-egress": 12, "redirect rules in the pod's netns": 3},
    ),
    ItemResult("pods.addresses_are_unique", Outcome.PASS),
)


def broken() -> Results:
    """Two nodes not seen, one gone, and each outcome somewhere among twelve."""
    nodes = [f"w{number}" for number in range(1, 13)]
    unseen = {
        "w7": (Outcome.ERROR, REFUSED),
        "w9": (Outcome.ERROR, TIMED_OUT),
        "w12": (Outcome.SKIP, DELETED),
    }
    coverage = Coverage(
        nodes_seen=9,
        nodes_known=12,
        pods_seen=331,
        pods_known=402,
        services_seen=4410,
        services_known=4410,
        dns_queries=1986,
        unreachable=["w7", "w9"],
        skipped_nodes={"w12": DELETED},
        undecided=1,
        unjudged={"NetworkPolicy shop/deny-egress": 12, "redirect rules in the pod's netns": 3},
    )
    items = list(_items(nodes, records(), unseen))
    return Results(
        _started(
            records(),
            overrides=[Override("conntrack.use_warn", "75", "70")],
            notes=["2 nodes have no entry in the inventory: edge-1, edge-2."],
        ),
        items,
        _ended(
            items,
            coverage,
            1,
            "3 checks failed on 2 nodes, 3 root causes, 3 checks could not be completed on 4 "
            "nodes, 2 checks warned on 2 nodes, 1 check known from the baseline, 1 check waived.",
        ),
    )


def healthy(nodes: int = 240) -> Results:
    names = [f"pool-{'abc'[number % 3]}-{number:03}" for number in range(nodes)]
    items = [item for check in records() for item in _everywhere(check, names)]
    coverage = Coverage(
        nodes_seen=nodes,
        nodes_known=nodes,
        pods_seen=6133,
        pods_known=6133,
        services_seen=4410,
        services_known=4410,
        dns_queries=24532,
    )
    return Results(_started(records()), items, _ended(items, coverage, 0, "Healthy."))


def nothing() -> Results:
    """No node could be visited."""
    nodes = ["w1", "w2", "w3"]
    items = list(_items(nodes, records()[:4], dict.fromkeys(nodes, (Outcome.ERROR, REFUSED))))
    coverage = Coverage(nodes_known=3, pods_known=40, services_known=9, unreachable=nodes)
    verdict = "4 checks could not be completed on 3 nodes."
    return Results(_started(records()[:4]), items, _ended(items, coverage, 2, verdict))


def empty() -> Results:
    """Nothing was selected."""
    return Results(_started([]), [], _ended([], Coverage(), 5, "Nothing was checked."))


def large(nodes: int = 1000, checks: int = 50, findings: int = 2000, each: int = 1) -> Results:
    """`findings` findings, `each` to an item, spread over nodes and checks."""
    ids = [f"{'abcdefgh'[n // 7 % 8]}.check_{n:02}" for n in range(checks)]
    every = records((identity, f"What {identity} says holds.") for identity in ids)
    names = [f"ip-10-32-{number // 250}-{number % 250}.eu" for number in range(nodes)]
    red = set(random.Random(1).sample(range(nodes * checks), findings // each))
    items = []
    for number in range(nodes * checks):
        node, check = names[number % nodes], every[number // nodes]
        if number not in red:
            items.append(ItemResult(check.id, Outcome.PASS, node=node))
            continue
        said = [
            finding(
                "Pod",
                f"namespace-{number % 17}/deployment-{number % 97}-7d9c6b5f4-{pod:05}",
                "an answer to kubernetes.default.svc.cluster.local: 10.96.0.1",
                "no answer within 3 tries of 2 s each",
                part="eth0",
                workload=f"Deployment/deployment-{number % 97}",
                evidence=["udp 10.32.4.7:41733 → 10.96.0.10:53, sent 3, received 0"],
            )
            for pod in range(each)
        ]
        items.append(ItemResult(check.id, Outcome.FAIL, node=node, findings=said))
    coverage = Coverage(nodes, nodes, nodes * 30, nodes * 30, 10000, 10000)
    return Results(_started(every), items, _ended(items, coverage, 1, "Many checks failed."))


def _items(
    nodes: Sequence[str],
    checks: Sequence[CheckRecord],
    unseen: dict[str, tuple[Outcome, str]],
) -> Iterable[ItemResult]:
    for check in checks:
        for item in _everywhere(check, nodes):
            if item.node in unseen:
                yield _not_seen(check.id, item.node, *unseen[item.node])
            elif check.id == "services.ipvs_weights_are_even":
                reason = "kube-proxy runs in iptables mode"
                yield ItemResult(check.id, Outcome.SKIP, node=item.node, reason=reason)
            else:
                yield PARTICULAR.get((check.id, item.node), item)


def _everywhere(check: CheckRecord, nodes: Sequence[str]) -> Iterable[ItemResult]:
    for node in nodes if check.scope == "node" else [""]:
        yield ItemResult(check.id, Outcome.PASS, node=node)


def _not_seen(check: str, node: str, outcome: Outcome, reason: str) -> ItemResult:
    if check == REACHABLE and outcome is Outcome.ERROR:
        found = [finding("Node", node, "a visit", reason, Level.ERROR)]
        return ItemResult(check, outcome, node=node, findings=found)
    return ItemResult(check, outcome, node=node, reason=reason, folded=check != REACHABLE)


def _started(
    checks: list[CheckRecord], overrides: Sequence[Override] = (), notes: Sequence[str] = ()
) -> RunStarted:
    return RunStarted(
        FORMAT,
        "0.1.0",
        "2026-11-23T03:06:41Z",
        ClusterRecord(
            "prod-eu-1", "0c5f7f0e-9f3f-4f3a-8d5e-1f2d8a3b4c5d", "v1.34.4", ["iptables", "ipvs"]
        ),
        source="live",
        checks=checks,
        overrides=list(overrides),
        notes=list(notes),
    )


def _ended(items: Sequence[ItemResult], coverage: Coverage, status: int, verdict: str) -> RunEnded:
    counts = dict(Counter(str(item.outcome) for item in items))
    return RunEnded(status, verdict, coverage, counts, seconds=81.4, looks=3)
