"""Indexes over the API objects of one round: Services and their slices, DNS, ports, pods.

Each index is built once per round. `collect` uses it to plan what to ask, checks use it to decide
what is expected. The package imports `snapshot`, `parse` and `catalogue`. It does no I/O and
knows nothing of what was seen on a node.
"""
