"""The context of a run that uses its pod's own service account.

A module of its own, because completion of contexts must not load everything else.
"""

IN_CLUSTER = "in-cluster"
"""The same in every cluster, so it does not identify one."""
