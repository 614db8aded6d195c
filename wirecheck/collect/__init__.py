"""Collects from the API and the nodes: everything that wirecheck reads, and no verdict.

Imports `snapshot`, `inventory`, `catalogue` (facts), `api_index` and the declarative part of
`network`. Only `collect.api` imports `kubernetes`, and only `collect.transport` testinfra.
"""
