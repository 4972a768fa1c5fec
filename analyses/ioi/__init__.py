"""Indirect object identification: the reproduction of Wang et al. 2022 (arXiv 2211.00593).

analysis     the command: what is measured, in order
circuit      how the circuit is found, if none is given
parts/       the paper, section by section: what to measure, and the chapter of the page
findings     what was measured of model and circuit, and its figures
report       the page;  paper: our figures next to the paper's
files        the other files of the folder
story        docs/ioi.md, with the figures of a run;  passages: its words
"""

from analyses.ioi.analysis import main, run

__all__ = ["main", "run"]
