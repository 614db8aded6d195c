"""NetworkPolicy: which connections the API's policies allow, deny or leave undefined.

The package evaluates the API objects alone; what a node enforces is not read here. Peers are
classes of pods that no policy can tell apart, so the work grows with the classes and not with the
pods. What the API leaves undefined is inconclusive, with the reason.

Imports `node`, `api_index`, `parse`, `snapshot` and below. It does no I/O.
"""
