"""The labels of wirecheck's own pods.

Runs create and remove pods by these labels, and checks leave such pods out.
"""

NAME_LABEL = "app.kubernetes.io/name"
OWNER_LABEL = "app.kubernetes.io/managed-by"
OWNER = "wirecheck"
"""The label of pods that wirecheck created and may remove."""
RUN_LABEL = "app.kubernetes.io/instance"
