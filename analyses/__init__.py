"""Analyses: one file each, `run(...) -> Report`, also `python -m analyses.NAME`."""
