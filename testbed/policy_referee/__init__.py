"""The referee of `wirecheck/policy`: another program evaluates random NetworkPolicies.

`random_clusters` makes clusters from a seed, `oracles` asks the other program, `comparing` finds
what it answers differently, and makes a disagreement small.
"""
