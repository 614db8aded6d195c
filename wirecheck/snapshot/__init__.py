"""What was seen, as it is kept on disk: the boundary between looking and judging."""
