"""NetworkPolicy: which connections the API's policies allow, and whether a node enforces that.

What is expected is evaluated from the API objects alone. Peers are classes of pods that no policy
can tell apart, so the work grows with the classes and not with the pods. What the API leaves
undefined is inconclusive, with the reason. What a node enforces is read from its packet filter by
following rules and sets, whatever program wrote them.

Imports `node`, `network`, `dataplane`, `api_index`, `parse`, `snapshot` and below. It does no I/O.
"""
