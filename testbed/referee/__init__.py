"""A real kube-proxy as the judge of what wirecheck expects of a node and reads there."""
