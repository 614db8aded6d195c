"""What a node must forward, computed from the API, beside what it does forward: one type for both.

    index = index_services(api)                                    services.py, once per look
    facts = proxy_facts(config, version, mode)                     proxy.py
    clients = clients_of(node, facts, host_addresses)              clients.py
    wanted = expected_table(index, node, facts, clients)           expected.py
    found = read_iptables(texts, clients, also=wanted.entries)     iptables.py
    found = read_nftables(texts, clients, also=wanted.entries)     nftables.py
    found = read_ipvs(texts, clients, wanted)                      ipvs.py
    differences = compare(wanted, found)                           compare.py

Expected side: `services` (the API as kube-proxy reads it), `endpoints` (which of them a node
uses), `vantage` (one node and family), `expected`, `expected_ipvs`, `expected_handling`.

Read side: `iptables_rules` and `nftables_rules` turn rules into `steps`; `chains` finds those
that concern a packet; `walk` takes the packet through them for all its clients at once
(`sources`, `flows`), and `fold` makes a `Handling` of where it ended. `ruleset` knows the order
of hooks, `memory` what other nodes have in common, `masquerading` what becomes of marks,
`afterwards` what is refused once it is translated.

`tolerance` is the one place for what may differ.
"""
