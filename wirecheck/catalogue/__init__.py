"""The public API for authors of checks: the decorator, facts, findings, thresholds.

Imports `addresses` and `text`. It knows nothing of how facts are collected.
"""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import (
    CONCLUSIVE,
    FactMissingError,
    Finding,
    Findings,
    Level,
    NotApplicable,
    Ref,
)
from wirecheck.catalogue.registry import Limits, Threshold, check

__all__ = [
    "CONCLUSIVE",
    "Fact",
    "FactMissingError",
    "Finding",
    "Findings",
    "Level",
    "Limits",
    "NotApplicable",
    "Ref",
    "Threshold",
    "check",
]
