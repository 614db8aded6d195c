"""Runs one command on one node by its access method, and alone imports `testinfra`.

Imports `inventory` and `snapshot`. It does not interpret what the node returns.
"""
