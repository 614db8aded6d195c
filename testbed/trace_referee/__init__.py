"""The kernel as referee of `wirecheck trace`: random nodes of network namespaces, real connections.

Each world is a node with pods on a bridge and one that is routed, in namespaces of its own. Random
changes are made to it, the node program visits it, and every connection that the trace decides has
to end as it says. Nothing outside of the namespaces is touched.
"""
