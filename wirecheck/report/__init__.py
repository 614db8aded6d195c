"""Renders results, one module per format; never decides."""
