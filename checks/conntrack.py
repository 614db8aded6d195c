"""Conntrack: room in the connection table, losses, and entries that lead nowhere."""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, Level, NotApplicable
from wirecheck.catalogue.registry import Threshold, check
from wirecheck.model.node import Node

USE_WARN = Threshold(
    "conntrack.use_warn", 75, "%", "a table grows by bursts; a quarter is what a burst takes"
)
USE_FAIL = Threshold(
    "conntrack.use_fail", 90, "%", "above it the next burst drops packets of new connections"
)
PER_BUCKET = Threshold(
    "conntrack.per_bucket", 8, "entries", "each packet's lookup walks through half of a bucket"
)
RATE_WARN = Threshold(
    "conntrack.rate_warn", 75, "%", "of the table, by the connections of the last two minutes"
)
LOG_FAIL = Threshold(
    "conntrack.log_fail", 60, "minutes", "a table that was full within the hour will be full again"
)


@check(
    thresholds=(USE_WARN, USE_FAIL),
    remedy="Find who opens so many connections (conntrack -L -o extended | awk …, by destination), "
    "then raise net.netfilter.nf_conntrack_max through kube-proxy's conntrack settings.",
    looks_at=[Fact.CONNTRACK, Fact.NETNS],
)
def table_usage(node: Node) -> Findings:
    """The connection table has room, in the node's own netns and in every pod's.

    A full table drops the first packet of every new connection, for all pods of the node.

    Except: each netns is counted for itself, against the one limit of the kernel.

    See: https://github.com/kubernetes/kubernetes/issues/71261
         https://github.com/kubernetes/kubernetes/issues/18604
    """
    for table in node.conntrack.tables:
        if table.use > node.threshold(USE_WARN):
            over = table.use > node.threshold(USE_FAIL)
            limit = node.threshold(USE_FAIL if over else USE_WARN)
            yield Finding(
                table,
                expected=f"at most {limit:.0f} % of {table.limit:,} entries",
                found=f"{table.count:,} entries, {table.use:.0f} %",
                level=Level.FAIL if over else Level.WARN,
                key="use",
            )


@check(
    remedy="Drops mean a full table: see conntrack.table_usage. Failed insertions mean clashing "
    "ports: give MASQUERADE --random-fully, and look for two DNS queries sent from one socket.",
    looks_at=[Fact.CONNTRACK],
)
def no_drops(node: Node) -> Findings:
    """The table dropped no packet and refused no entry while the node was looked at.

    Each one is a connection that failed, or a DNS lookup that took five seconds.

    Except: only what is lost during the visit counts, not what was lost since boot.

    See: https://github.com/kubernetes/kubernetes/issues/56903
    """
    for counter, growth in node.conntrack.drops.items():
        if growth > 0:
            yield Finding(
                node.part(f"conntrack {counter}"),
                expected=f"{counter} does not grow",
                found=f"+{growth} within {node.conntrack.window:.1f} s",
                level=Level.FAIL if counter == "drop" else Level.WARN,
            )


@check(
    thresholds=(LOG_FAIL,),
    remedy="Compare the time with the peak of your load; then see conntrack.table_usage.",
    looks_at=[Fact.KERNEL_LOG],
)
def no_table_full_logged(node: Node) -> Findings:
    """The kernel log does not tell of a full connection table.

    By the time one looks, the table has room again, and only the log still knows.

    Except: lines from before the last boot are not in the log; older ones than the threshold
    are a warning.

    See: https://github.com/kubernetes/kubernetes/issues/71261
    """
    for event in node.conntrack.table_full_events:
        recent = event.age_minutes <= node.threshold(LOG_FAIL)
        yield Finding(
            node.part("kernel log"),
            expected="no `table full`",
            found=event,
            level=Level.FAIL if recent else Level.WARN,
            key=event.pattern,
        )


@check(
    remedy="Restart kube-proxy on the node: it sets the limit once, when it starts. If that does "
    "not last, find what else sets it (sysctl.d files, tuning daemons).",
    looks_at=[Fact.SYSCTLS, Fact.KUBE_PROXY, Fact.API],
)
def limit_as_configured(node: Node) -> Findings:
    """The limit in force is at least the one that kube-proxy is configured to set.

    A limit that something else has lowered is noticed only when the table is full.

    Except: maxPerCore 0 tells kube-proxy to leave the limit alone, as it must in nested
    clusters.

    See: https://github.com/kubernetes/kubernetes/issues/18604
         https://github.com/kubernetes/kubernetes/issues/24295
    """
    wanted = node.conntrack.configured_limit
    if wanted is None:
        raise NotApplicable("kube-proxy is configured to leave the limit alone")
    if node.conntrack.limit < wanted:
        yield Finding(
            node.part("net.netfilter.nf_conntrack_max"),
            expected=f"at least {wanted:,}",
            found=f"{node.conntrack.limit:,}",
        )


@check(
    settles=True,
    remedy="conntrack -D -p udp --orig-dst SERVICE_ADDRESS --orig-port-dst 53 on the node removes "
    "them; clients recover at once.",
    looks_at=[Fact.CONNECTIONS, Fact.API],
)
def no_stale_udp_entries(node: Node) -> Findings:
    """No UDP entry sends DNS queries to a backend that is gone.

    Each query refreshes the entry, so it never expires: that one client has no DNS any more.

    Except: backends that are terminating still count as backends: kube-proxy leaves their
    entries.

    See: https://github.com/kubernetes/kubernetes/issues/125467
         https://github.com/kubernetes/kubernetes/issues/119750
         https://github.com/kubernetes/kubernetes/issues/62070
    """
    for entry in node.conntrack.dns_connections:
        if entry.backend not in node.cluster.dns.backend_addresses:
            yield Finding(
                node.part(f"conntrack {entry.client} to {entry.service}"),
                expected="translated to a DNS replica that answers",
                found=entry.target,
                evidence=[entry.text],
            )


@check(
    thresholds=(PER_BUCKET,),
    remedy="echo a quarter of nf_conntrack_max into /sys/module/nf_conntrack/parameters/hashsize, "
    "and keep it by `options nf_conntrack hashsize=…` in /etc/modprobe.d.",
    looks_at=[Fact.SYSCTLS],
)
def hash_size(node: Node) -> Findings:
    """The hash table of connections has buckets enough for as many entries as are allowed.

    Where only the limit was raised, a full table is one of long lists, and every packet of
    the node waits while one of them is searched.

    Except: kube-proxy sets a quarter of its limit by itself, where it may.

    See: https://github.com/kubernetes/kubernetes/issues/24295
         https://www.kernel.org/doc/html/latest/networking/nf_conntrack-sysctl.html
    """
    buckets, limit = node.conntrack.buckets, node.conntrack.limit
    if limit > buckets * node.threshold(PER_BUCKET):
        yield Finding(
            node.part("net.netfilter.nf_conntrack_buckets"),
            expected=f"at least {limit / node.threshold(PER_BUCKET):,.0f}",
            found=f"{buckets:,} for up to {limit:,} entries",
            level=Level.WARN,
            key="buckets",
        )


@check(
    settles=True,
    remedy="Bring iptables on the node (and in the image of kube-proxy or of the CNI plugin) to "
    "1.6.2 or later; for ip-masq-agent and flannel see their options for random ports.",
    looks_at=[Fact.SERVICE_RULES],
)
def random_source_ports(node: Node) -> Findings:
    """Rules of Kubernetes that masquerade choose the source port at random.

    Otherwise two connections that begin at once are given the same port, and the second one's
    first packet is dropped: a second's delay, or five for a DNS lookup.

    Except: rules of others, such as Docker's, are not judged; nftables mode asks for it always.

    See: https://github.com/kubernetes/kubernetes/issues/56903
         https://github.com/weaveworks/weave/issues/3287
    """
    for rule in node.conntrack.predictable_masquerades:
        chain = rule.split()[1]
        yield Finding(
            node.part(chain),
            expected="MASQUERADE --random-fully",
            found="MASQUERADE alone",
            level=Level.WARN,
            evidence=[rule],
            key=rule,
        )


@check(
    thresholds=(RATE_WARN,),
    remedy="conntrack -E -e NEW on the node shows who opens them; let that client keep its "
    "connections, or raise net.netfilter.nf_conntrack_max.",
    looks_at=[Fact.NEW_CONNECTIONS, Fact.SYSCTLS],
)
def connection_rate(node: Node) -> Findings:
    """At the rate of new connections, those of two minutes fit into the table.

    A closed connection is kept for two minutes: the rate fills a table, long before the
    number of connections that are open does.

    Except: only the node's own netns is listened to; short UDP exchanges leave it earlier, so
    a node that does nothing but DNS has more room than this tells.

    See: https://github.com/kubernetes/kubernetes/issues/71261
         https://www.kernel.org/doc/html/latest/networking/nf_conntrack-sysctl.html
    """
    newcomers = node.conntrack.new_connections
    if newcomers.share > node.threshold(RATE_WARN):
        yield Finding(
            node.part("new connections"),
            expected=f"at most {node.threshold(RATE_WARN):.0f} % of {newcomers.limit:,} entries "
            "in two minutes",
            found=newcomers,
            level=Level.WARN,
            evidence=newcomers.places,
            key="rate",
        )
