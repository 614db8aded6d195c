"""An example: checks of one's own beside those of wirecheck."""
