"""Renders the results of a run, one module per format, and delivers them.

Imports `results`, `catalogue` and the texts and file writing at the top of the package. It knows
neither a snapshot nor a cluster, and changes no verdict.
"""
