"""Attention pictures: all heads, one head, arcs between tokens, and an interactive page."""
