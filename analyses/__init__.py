"""Analyses: one file each, with `run(...) -> Report`; `python -m analyses.NAME` runs one."""
