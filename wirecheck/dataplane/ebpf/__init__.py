"""Reads Cilium's eBPF maps into a `ServiceTable`.

    maps = cilium_maps(document.ebpf)                     maps
    wanted = expected_for_cilium(ports, node, maps)       expected.cilium
    found = read_cilium(maps, node, wanted)               reader

`layouts` is the table of what keys and values mean, by the name of a map and its sizes. A map that
is not in it is an error: nothing is guessed.

Imports `dataplane.table`, `parse` and `snapshot`. Pure.
"""
