"""Indirect object identification: the reproduction of Wang et al. 2022 (arXiv 2211.00593)."""

from analyses.ioi.analysis import main, run

__all__ = ["main", "run"]
