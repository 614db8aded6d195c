"""The error that every parser raises for unrecognised text, and what such text raises in Python."""

UNKNOWN_SHAPE = (
    AttributeError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    RecursionError,
)
"""What decoded JSON of an unknown shape raises where it is read."""


class ParseError(ValueError):
    """The text does not have the expected form. The message names the source and the line."""
