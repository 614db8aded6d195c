"""Compares what a node must forward according to the API with what its rules do.

    index = index_services(services, slices)                       api_index, once per round
    facts = proxy_facts(config, version, mode)                     proxy
    clients = clients_of(node, facts, host_addresses)              clients
    wanted = expected_table(index, node, facts, clients)           expected
    found = read_iptables(texts, clients, also=wanted.entries)     iptables
    found = read_nftables(texts, clients, also=wanted.entries)     nftables
    found = read_ipvs(texts, clients, wanted)                      ipvs
    found = read_cilium(maps, node, wanted.entries)                ebpf
    differences = compare(wanted, found)                           compare

`expected` computes a `ServiceTable` from the API: the usable endpoints, and what kube-proxy on
this node knows about its clients (`proxy_view`).

`iptables`, `nftables` and `ipvs` read rules into steps. `rules` contains the one engine that
follows packets through steps, and the questions that it answers: connections to Services for all
clients at once, translated connections, marks, and single forwarded packets. `ReaderCache` keeps
what nodes share; one evaluation owns it.

`ebpf` reads the maps of Cilium, which forwards Services in kube-proxy's place or for pods only.

`compare` finds the differences. `compare.tolerance` is the only place for what may differ.

Imports `api_index`, `parse` and below. Pure: no I/O, and no knowledge of checks.
"""
