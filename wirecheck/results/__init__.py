"""The record of a run: findings, their order, their causes, comparisons and history.

Imports `catalogue`. It knows neither a cluster nor a report format.
"""
