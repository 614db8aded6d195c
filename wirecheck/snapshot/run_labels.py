"""The labels of pods that are wirecheck's own: looking makes and removes by them, judging leaves
these pods out.
"""

NAME_LABEL = "app.kubernetes.io/name"
OWNER_LABEL = "app.kubernetes.io/managed-by"
OWNER = "wirecheck"
"""The label of what wirecheck itself has made, and may remove again."""
RUN_LABEL = "app.kubernetes.io/instance"
