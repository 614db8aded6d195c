"""Conntrack: capacity of the connection table, drops, and stale entries."""

from wirecheck.catalogue import (
    Fact,
    Finding,
    Findings,
    Level,
    Limits,
    NotApplicable,
    Threshold,
    check,
)
from wirecheck.catalogue.settling import ON_NODE, STALE_ENTRIES
from wirecheck.model.node import Node

USE = Limits(
    warn=Threshold(
        "conntrack.use_warn", 75, "%", "a burst of connections can take the last quarter"
    ),
    fail=Threshold("conntrack.use_fail", 90, "%", "the next burst drops new connections"),
)
PER_BUCKET = Threshold(
    "conntrack.per_bucket", 8, "entries", "each lookup searches half of a bucket on average"
)
RATE_WARN = Threshold(
    "conntrack.rate_warn", 75, "%", "of the table, taken by the connections of two minutes"
)
LOG_FAIL = Threshold(
    "conntrack.log_fail", 60, "minutes", "a table that was full within the hour will be full again"
)


@check(
    thresholds=USE,
    remedy="On {node}, count the connections by destination: `conntrack -L -o extended | grep -o "
    "'dst=[^ ]*' | sort | uniq -c | sort -rn | head`. Fix the client that opens so many, or raise "
    "the limit in kube-proxy's configuration (conntrack.maxPerCore): `kubectl -n kube-system edit "
    "configmap kube-proxy`.",
    facts=[Fact.CONNTRACK, Fact.NETNS],
)
def table_usage(node: Node) -> Findings:
    """The conntrack table has free entries, for the node and for every pod.

    When the table is full, the kernel drops the first packet of every new connection on the node.

    Except: each network namespace is counted separately, against the kernel's one limit.

    See: https://github.com/kubernetes/kubernetes/issues/71261
         https://github.com/kubernetes/kubernetes/issues/18604
    """
    for table in node.conntrack.tables:
        if exceeded := USE.exceeded_by(table.use, node):
            yield Finding(
                table,
                expected=f"at most {exceeded.limit:.0f} % of {table.limit:,} entries",
                found=f"{table.entries:,} entries, {table.use:.0f} %",
                level=exceeded.level,
                key="use",
            )


@check(
    remedy="Read the counters on {node}: `conntrack -S`. A growing `drop` means a full table, see "
    "`wirecheck explain conntrack.table_usage`. A growing `insert_failed` means colliding source "
    "ports: masquerade with --random-fully, or use NodeLocal DNSCache.",
    facts=[Fact.CONNTRACK],
)
def no_drops(node: Node) -> Findings:
    """The conntrack table dropped no packet and rejected no entry during the check.

    Each drop is a failed connection, or a DNS lookup that takes five seconds.

    Except: only drops during the check count, not those since boot.

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
    remedy="On {node}, read when it happened: `dmesg -T | grep 'table full'`. Compare the time "
    "with your peak load, then see `wirecheck explain conntrack.table_usage`.",
    facts=[Fact.KERNEL_LOG],
)
def no_table_full_logged(node: Node) -> Findings:
    """The kernel log has no message about a full conntrack table.

    The table usually has free entries again by the time somebody investigates. Only the log still
    shows that connections were dropped.

    Except: messages older than the threshold are a warning; messages from before the last boot are
    not in the log. What the kernel's ring buffer no longer has of that time is inconclusive.

    See: https://github.com/kubernetes/kubernetes/issues/71261
    """
    if gap := node.kernel.log_gap(node.threshold(LOG_FAIL)):
        yield Finding(
            node.part("kernel log"), expected="a complete log", found="less", inconclusive=gap
        )
    for event in node.conntrack.table_full_events:
        recent = event.age_minutes <= node.threshold(LOG_FAIL)
        yield Finding(
            node.part("kernel log"),
            expected="no `table full`",
            found=event,
            level=Level.FAIL if recent else Level.WARN,
            key=event.pattern,
            since=event.since,
        )


@check(
    remedy="Restart kube-proxy, which sets the limit only when it starts: `kubectl -n kube-system "
    "delete pod {kube_proxy_pod}`. If the limit drops again, find what else sets it on {node}: "
    "`grep -r nf_conntrack_max /etc/sysctl.d /run/sysctl.d /usr/lib/sysctl.d /etc/sysctl.conf`.",
    facts=[Fact.SYSCTLS, Fact.KUBE_PROXY, Fact.API],
)
def limit_as_configured(node: Node) -> Findings:
    """The conntrack limit in force is at least the one in kube-proxy's configuration.

    If another program lowered the limit, nobody notices until the table is full.

    Except: with maxPerCore 0 kube-proxy leaves the limit alone, as it must in nested clusters.

    See: https://github.com/kubernetes/kubernetes/issues/18604
         https://github.com/kubernetes/kubernetes/issues/24295
    """
    wanted = node.conntrack.configured_limit
    if wanted is None:
        raise NotApplicable("kube-proxy is configured to leave the conntrack limit alone")
    if node.conntrack.limit < wanted:
        yield Finding(
            node.part("net.netfilter.nf_conntrack_max"),
            expected=f"at least {wanted:,}",
            found=f"{node.conntrack.limit:,}",
        )


@check(
    settles=STALE_ENTRIES,
    remedy="Delete the stale entries on {node}: `conntrack -D -p udp --orig-dst {service_address} "
    "--orig-port-dst {service_port} --reply-src {backend}`. Clients recover at once. kube-proxy "
    "should have deleted them: search its log for `conntrack`, `kubectl -n kube-system logs "
    "{kube_proxy_pod}`.",
    facts=[Fact.CONNECTIONS, Fact.API],
)
def no_stale_udp_entries(node: Node) -> Findings:
    """No UDP conntrack entry sends packets for a Service to a backend that is gone.

    Each packet refreshes the entry, so it does not expire. That client gets no answer until the
    entry is deleted: it has no DNS, or its logs, calls and metrics are lost.

    Except: entries to a terminating backend, which kube-proxy keeps too. Services with the label
    service.kubernetes.io/service-proxy-name, which kube-proxy ignores. Entries of the node's own
    DNS cache, and those that a host port or Docker translates. Nodes where Cilium replaces
    kube-proxy, which has a table of its own. Older snapshots only have the entries of DNS.

    See: https://github.com/kubernetes/kubernetes/issues/125467
         https://github.com/kubernetes/kubernetes/issues/119750
         https://github.com/kubernetes/kubernetes/issues/62070
    """
    for entry in node.conntrack.dns_connections:
        if entry.backend not in node.cluster.dns.backend_addresses:
            yield Finding(
                node.part(f"conntrack {entry.client} to {entry.service}"),
                expected="translated to an existing DNS replica",
                found=entry.target,
                evidence=[entry.text],
                names={
                    "service_address": str(entry.service),
                    "service_port": "53",
                    "backend": str(entry.backend),
                },
            )
    for stale in node.conntrack.stale_udp_entries:
        yield Finding(
            node.part(f"conntrack entries to {stale.frontend}"),
            expected=f"translated to an endpoint of {stale.service}",
            found=stale.found,
            evidence=stale.lines,
            concerns=[stale.service],
            names={
                "service_address": str(stale.address),
                "service_port": str(stale.port),
                "backend": str(stale.backend),
            },
        )


@check(
    thresholds=(PER_BUCKET,),
    remedy="On {node}, set a quarter of nf_conntrack_max: `echo {buckets} > "
    "/sys/module/nf_conntrack/parameters/hashsize`. Keep it over a reboot: `echo 'options "
    "nf_conntrack hashsize={buckets}' > /etc/modprobe.d/nf_conntrack.conf`.",
    facts=[Fact.SYSCTLS],
)
def hash_size(node: Node) -> Findings:
    """The conntrack hash table is large enough for the configured number of connections.

    If only the limit was raised, buckets become long lists. Every packet of the node then waits
    while a list is searched.

    Except: kube-proxy itself sets a quarter of its limit where it has write access to the setting.

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
            names={"buckets": str(limit // 4)},
        )


@check(
    settles=ON_NODE,
    remedy="Check the version on {node} (and in the image of kube-proxy or the CNI plugin): "
    "`iptables --version`. --random-fully needs 1.6.2 or later. For ip-masq-agent and flannel, "
    "enable their options for random source ports.",
    facts=[Fact.SERVICE_RULES],
)
def random_source_ports(node: Node) -> Findings:
    """Kubernetes' MASQUERADE rules choose source ports at random (--random-fully).

    Otherwise two connections that start at the same time can get the same source port. The kernel
    drops the first packet of one of them: a delay of a second, or of five for a DNS lookup.

    Except: third-party rules, such as Docker's, are not evaluated. kube-proxy in nftables mode
    always uses random ports.

    See: https://github.com/kubernetes/kubernetes/issues/56903
         https://github.com/weaveworks/weave/issues/3287
    """
    for rule in node.conntrack.predictable_masquerades:
        chain = rule.split()[1]
        yield Finding(
            node.part(chain),
            expected="MASQUERADE --random-fully",
            found="MASQUERADE without --random-fully",
            level=Level.WARN,
            evidence=[rule],
            key=rule,
        )


@check(
    thresholds=(RATE_WARN,),
    remedy="On {node}, watch who opens connections: `timeout 10 conntrack -E -e NEW`. Make that "
    "client reuse its connections, or raise the limit: `sysctl -w "
    "net.netfilter.nf_conntrack_max={larger_limit}`.",
    facts=[Fact.NEW_CONNECTIONS, Fact.SYSCTLS],
)
def connection_rate(node: Node) -> Findings:
    """At the current rate, the new connections of two minutes fit into the conntrack table.

    The table keeps a closed TCP connection for two minutes. A high rate of short connections fills
    it, even if few are open at any time.

    Except: only the node's own network namespace is measured. Short UDP exchanges leave the table
    earlier, so a node that mostly sends DNS has more room than this shows.

    See: https://github.com/kubernetes/kubernetes/issues/71261
         https://www.kernel.org/doc/html/latest/networking/nf_conntrack-sysctl.html
    """
    connections = node.conntrack.new_connections
    if connections.share > node.threshold(RATE_WARN):
        yield Finding(
            node.part("new connections"),
            expected=f"at most {node.threshold(RATE_WARN):.0f} % of {connections.limit:,} entries "
            "in two minutes",
            found=connections,
            level=Level.WARN,
            evidence=connections.destinations,
            key="rate",
            names={"larger_limit": str(2 * connections.limit)},
        )
