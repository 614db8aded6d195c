"""pytest: one item per check and node, from what was looked at."""
