"""Reads the Kubernetes API, and alone imports `kubernetes`.

Imports `snapshot`. It evaluates nothing.
"""
