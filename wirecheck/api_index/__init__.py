"""What everybody asks of the API objects of one round, built once: Services, DNS, ports, pods.

Imports `snapshot`, `parse` and `catalogue`. It does no I/O and knows nothing seen on a node.
"""
