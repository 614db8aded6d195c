"""Evaluates checks over the rounds of a snapshot: findings that persist, waivers, the verdict.

Imports `model`, `results` and everything below. It does no I/O and renders nothing.
"""
