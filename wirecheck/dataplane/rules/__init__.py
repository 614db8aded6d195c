"""The rule engine: takes packets through chains of steps, from any tool.

Imports `dataplane`'s table. It knows no tool's syntax and trusts no chain's name. Pure.
"""
