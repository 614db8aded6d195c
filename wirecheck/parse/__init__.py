"""Parsers: the output of tools and the text of files, as values.

They are pure functions. They raise ParseError for text that they do not recognise, and never
guess. The package imports `snapshot` for the types of documents. It does no I/O.
"""
