"""The inventory file: how to reach the API and each node, thresholds, waivers.

Imports `catalogue` and `snapshot`. It reads that one file and opens no connection.
"""
