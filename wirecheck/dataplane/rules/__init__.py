"""The rule engine: takes packets through chains of steps, whichever tool wrote the rules.

Imports `dataplane`'s table. It knows no tool's syntax and trusts no chain's name. Pure.
"""
