"""Reads IPVS state, with the iptables rules and ipsets around it, into a `ServiceTable`.

Imports `dataplane.rules`, `dataplane.iptables` and `parse`. Pure.
"""
