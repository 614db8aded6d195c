"""The error that every parser raises for unrecognised text."""


class ParseError(ValueError):
    """The text does not have the expected form. The message names the source and the line."""
