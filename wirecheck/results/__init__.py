"""The results of a run: findings, their order, their causes, comparisons and history.

Imports `catalogue` and `snapshot`. It knows neither a cluster nor a report format.
"""
