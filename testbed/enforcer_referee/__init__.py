"""The referee of enforced NetworkPolicies: a real enforcer programs random ones on one node.

`scenes` makes pods and policies from a seed, `node` runs the enforcer in namespaces of its own, and
`reading` is how the enforcer reads policies. `comparing` puts both beside what wirecheck expects
and what it reads from the node, `packets` sends a sample, and `trials` changes rules and sets.
"""
