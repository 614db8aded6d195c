"""How every parser says what it does not know."""


class ParseError(ValueError):
    """Text that is not in the expected form: says which text, the line and what was expected."""
