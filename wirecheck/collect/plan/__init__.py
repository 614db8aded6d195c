"""Plans what one visit to a node does: DNS queries, connections, limits. Pure.

Imports `snapshot` and `api_index`. It opens no connection.
"""
