"""Compares expected with programmed Services: differences, tolerated leftovers, a summary.

Imports the rest of `dataplane`. Pure.
"""
