"""What was seen of one node, part by part: routes, links, overlay, conntrack, DNS.

Imports `network`, `dataplane`, `api_index` and below. It does no I/O and holds no verdict.
"""
