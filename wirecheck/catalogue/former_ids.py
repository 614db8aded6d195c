"""The ids that checks had before they were renamed, so that old patterns and results still work.

Patterns (globs, `-k` under pytest, waivers) match the former id of a check as well as its id.
Files with results are translated where they are read, so nothing else knows former ids.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase

FORMER_IDS: Mapping[str, str] = {
    "cni.agent_runs_on_the_node": "cni.agent_ready",
    "cni.has_one_configuration": "cni.single_config",
    "cni.has_its_plugins": "cni.plugins_present",
    "cni.holds_no_address_in_vain": "cni.no_leaked_addresses",
    "cni.has_addresses_left": "cni.addresses_available",
    "cni.has_a_token_that_lasts": "cni.token_valid",
    "cni.host_ports_lead_to_their_pods": "cni.host_ports_mapped",
    "conntrack.has_room": "conntrack.table_usage",
    "conntrack.loses_nothing": "conntrack.no_drops",
    "conntrack.was_not_full": "conntrack.no_table_full_logged",
    "conntrack.has_kube_proxys_limit": "conntrack.limit_as_configured",
    "conntrack.has_no_stale_dns_entries": "conntrack.no_stale_udp_entries",
    "conntrack.has_buckets_enough": "conntrack.hash_size",
    "conntrack.masquerades_with_random_ports": "conntrack.random_source_ports",
    "conntrack.has_room_for_new_connections": "conntrack.connection_rate",
    "coredns.serves_the_clusters_domain": "coredns.serves_cluster_domain",
    "coredns.has_its_usual_plugins": "coredns.plugins",
    "coredns.may_read_what_it_serves": "coredns.rbac",
    "coredns.replicas_are_on_distinct_nodes": "coredns.replicas_spread",
    "dns.answers_every_pod_over_udp": "dns.pods_resolve_udp",
    "dns.answers_every_pod_over_tcp": "dns.pods_resolve_tcp",
    "dns.answers_the_node": "dns.nodes_resolve",
    "dns.answers_both_families_at_once": "dns.parallel_a_aaaa",
    "dns.queries_are_not_lost": "dns.no_packet_loss",
    "dns.answers_in_time": "dns.latency",
    "dns.names_are_right": "dns.records_correct",
    "dns.unknown_names_do_not_exist": "dns.nxdomain",
    "dns.large_answers_arrive": "dns.large_responses",
    "dns.external_names_resolve": "dns.external_names",
    "dns.the_nodes_own_cache_answers": "dns.node_local_cache",
    "dns.kubelet_names_the_clusters_dns": "dns.kubelet_cluster_dns",
    "dns.replicas_are_ready": "dns.replicas_ready",
    "dns.resolv_conf_is_the_clusters": "dns.resolv_conf",
    "endpoints.are_their_pods": "endpoints.match_pods",
    "endpoints.are_ready_as_their_pods": "endpoints.readiness_matches",
    "endpoints.have_every_ready_pod": "endpoints.complete",
    "firewall.lets_pods_through": "firewall.forwards_pods",
    "firewall.lets_dns_through": "firewall.forwards_dns",
    "firewall.calls_kubernetes_chains": "firewall.kubernetes_chains_called",
    "firewall.is_not_managed_by_two": "firewall.single_manager",
    "firewall.has_one_variant_of_iptables": "firewall.single_iptables_variant",
    "kube_proxy.says_that_it_is_healthy": "kube_proxy.healthz",
    "kube_proxy.keeps_up_with_changes": "kube_proxy.sync_lag",
    "kube_proxy.runs_in_its_configured_mode": "kube_proxy.configured_mode",
    "kube_proxy.left_nothing_of_another_mode": "kube_proxy.no_leftover_mode",
    "kube_proxy.uses_one_iptables_variant": "kube_proxy.single_iptables_variant",
    "links.are_whole": "links.veth_pairs_complete",
    "links.are_up": "links.up",
    "links.have_equal_mtu": "links.equal_mtu",
    "links.are_attached_to_the_node": "links.attached",
    "links.have_no_orphans": "links.no_orphaned_veths",
    "links.reach_themselves": "links.hairpin",
    "links.are_let_through_by_the_bridge": "links.bridge_ports_forwarding",
    "links.leave_room_on_the_bridge": "links.bridge_port_capacity",
    "links.leave_no_netns_behind": "links.no_leaked_netns",
    "links.lose_no_packets": "links.no_packet_drops",
    "links.are_left_alone_by_networkmanager": "links.unmanaged_by_networkmanager",
    "links.keep_the_macs_of_their_plugin": "links.mac_policy",
    "nodes.have_a_network_for_pods": "nodes.network_ready",
    "nodes.forward_packets": "nodes.ip_forward",
    "nodes.filter_bridged_packets": "nodes.bridge_nf_call",
    "nodes.have_ranges_of_their_own": "nodes.disjoint_pod_cidrs",
    "nodes.are_told_apart": "nodes.unique_identity",
    "nodes.agree_on_the_time": "nodes.clock_skew",
    "nodes.have_room_for_neighbours": "nodes.neighbour_table",
    "nodes.have_a_quiet_kernel_log": "nodes.kernel_log",
    "overlay.is_as_announced": "overlay.matches_annotations",
    "overlay.knows_every_node": "overlay.peers_complete",
    "overlay.knows_nobody_else": "overlay.no_stale_peers",
    "overlay.fits_the_wire": "overlay.mtu",
    "pods.have_an_address": "pods.have_ip",
    "pods.are_in_the_nodes_range": "pods.ip_in_node_range",
    "pods.share_no_address": "pods.unique_ips",
    "pods.have_a_netns": "pods.have_netns",
    "pods.carry_their_addresses": "pods.ip_on_interface",
    "pods.of_the_network_run_on_the_node": "pods.network_daemons_ready",
    "reachability.nodes_reach_each_other": "reachability.node_to_node",
    "reachability.pods_reach_pods_of_other_nodes": "reachability.pod_to_pod",
    "reachability.large_messages_pass": "reachability.large_payloads",
    "reachability.large_messages_pass_between_nodes": "reachability.large_payloads_between_nodes",
    "reachability.large_messages_pass_within_the_node": "reachability.large_payloads_within_node",
    "reachability.the_api_server_is_reached": "reachability.api_server",
    "reachability.services_reach_pods_of_the_same_node": "reachability.service_same_node",
    "reachability.pods_reach_themselves_through_services": "reachability.service_hairpin",
    "reachability.node_ports_answer": "reachability.node_ports",
    "reachability.local_node_ports_answer_nowhere_else": "reachability.local_node_ports",
    "reachability.health_checks_tell_where_endpoints_are": "reachability.health_check_node_ports",
    "reachability.host_ports_answer": "reachability.host_ports",
    "routes.lead_to_every_node": "routes.to_every_node",
    "routes.are_not_shadowed": "routes.not_shadowed",
    "routes.do_not_overlap_pods_or_services": "routes.no_overlap",
    "routes.refuse_nothing": "routes.no_blackholes",
    "routes.lead_out_of_every_pod": "routes.pod_default_route",
    "routes.local_addresses_come_first": "routes.local_table_first",
    "routes.rules_outlast_networkd": "routes.rules_safe_from_networkd",
    "services.rules_are_reached": "services.rules_reachable",
    "services.frontends_are_programmed": "services.frontends_programmed",
    "services.backends_are_programmed": "services.backends_programmed",
    "services.frontends_exist": "services.no_stale_frontends",
    "services.backends_exist": "services.no_stale_backends",
    "services.frontends_are_not_shadowed": "services.not_shadowed",
    "services.connections_end_as_asked": "services.refused_or_dropped",
    "services.backends_share_evenly": "services.even_weights",
    "services.clients_stay_with_their_backend": "services.session_affinity",
    "services.sources_are_limited": "services.source_ranges",
    "services.sources_are_masqueraded": "services.masquerade",
    "services.health_checks_are_let_in": "services.health_check_ports_open",
    "settings.are_alike_in_a_pool": "settings.uniform_in_pool",
    "settings.take_in_what_comes_another_way": "settings.rp_filter",
    "settings.outlast_a_reboot": "settings.persistent",
}
"""From the former id of a check to its id. Checks that kept their id are not listed."""

_FORMER_ID_OF = {current: former for former, current in FORMER_IDS.items()}
MOST_NAMED = 3
"""How many ids a warning names before it only counts."""


class FormerNameWarning(UserWarning):
    """A user wrote a former name; the message gives the current one."""


class FormerIdWarning(FormerNameWarning):
    """Something names a check by its former id; the message gives the current one."""


def current_id(check: str) -> str:
    """The id of the check that has, or had, this id."""
    return FORMER_IDS.get(check, check)


def former_id(check: str) -> str:
    """The id that the check had before; its own id if it was never renamed."""
    return _FORMER_ID_OF.get(check, check)


def current_key(key: str) -> str:
    """The key of a finding, which begins with the check's id, with the current id."""
    check, separator, rest = key.partition("/")
    return f"{current_id(check)}{separator}{rest}"


def former_key(key: str) -> str:
    """The key of a finding with the check's former id."""
    check, separator, rest = key.partition("/")
    return f"{former_id(check)}{separator}{rest}"


def matches(check: str, pattern: str) -> bool:
    """Return whether the glob matches the check's id or its former id."""
    return fnmatchcase(check, pattern) or fnmatchcase(former_id(check), pattern)


def warn_of_pattern(pattern: str, where: str) -> None:
    """Issue a FormerIdWarning if the glob matches a check by its former id only.

    `where` says what the pattern belongs to, as in `--check` or `the waiver of …`.
    """
    found = [
        (former, current)
        for former, current in FORMER_IDS.items()
        if fnmatchcase(former, pattern) and not fnmatchcase(current, pattern)
    ]
    if found:
        warn(f"{where} names checks by former ids: {renamings(found)}.")


def warn_of_ids(former: Iterable[str], where: str) -> None:
    """Issue a FormerIdWarning if some of these are former ids of checks."""
    found = [(each, FORMER_IDS[each]) for each in dict.fromkeys(former) if each in FORMER_IDS]
    if found:
        warn(f"{where} names checks by former ids: {renamings(found)}.")


def warn(sentence: str) -> None:
    """Issue the warning; Python's default filter shows the same sentence only once."""
    warnings.warn(sentence, FormerIdWarning, stacklevel=3)


def renamings(found: Iterable[tuple[str, str]]) -> str:
    """Say which former id is which id now: `cni.has_its_plugins is now cni.plugins_present`."""
    return ", ".join(_parts(list(found)))


def _parts(found: list[tuple[str, str]]) -> Iterator[str]:
    for former, current in found[:MOST_NAMED]:
        yield f"{former} is now {current}"
    if len(found) > MOST_NAMED:
        yield f"and {len(found) - MOST_NAMED} more"
