"""Creates pods in the cluster for one run: agent pods and helper pods.

Imports `collect.api` and `snapshot`. It always removes the pods that it created.
"""
