"""Pods that wirecheck makes in the cluster for one run: agent pods and helper pods.

Imports `collect.api` and `snapshot`. It removes what it made, whatever happens.
"""
