"""Where source code can be mutated."""

from __future__ import annotations

from testbed.mutants.sites import mutated, sites_of


def test_a_place_that_an_operator_cannot_change_gives_no_mutant():
    """cosmic-ray finds two exceptions here and cannot replace the one named by its module."""
    source = "try:\n    g()\nexcept (OSError, m.Error):\n    h()\n"

    found = [variant for site in sites_of("a.py", source) for variant in site.variants]
    replaced = [mutated(source, *each) for each in found]

    assert [text is None for text in replaced] == [False, True]
