"""The pytest plugin: options, one item per check and node, outcomes, exit status.

Imports `run`. Nothing imports it.
"""
