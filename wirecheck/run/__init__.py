"""Drives a run from a live cluster or a snapshot to results and reports.

Imports every stage. Only `cli` and `pytest_plugin` import it.
"""
