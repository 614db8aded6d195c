"""From what tools print to values: pure functions that refuse what they do not know."""
