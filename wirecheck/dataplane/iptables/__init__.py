"""Reads iptables rules into the steps that the rule engine follows.

Imports `dataplane.rules` and `parse`. Pure.
"""
