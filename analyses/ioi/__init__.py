"""Indirect object identification: the reproduction of Wang et al. 2022 (arXiv 2211.00593).

analysis     the command: what is measured, in order
circuit      where the circuit comes from, if none is given
parts/       the paper section by section: what each measures, and its chapter of the page
findings     what was measured of the whole, and its figures
report       the page;  paper: our figures next to the paper's
files        the other files of the folder
story        docs/ioi.md, told with the figures of a run;  passages: its words
"""

from analyses.ioi.analysis import main, run

__all__ = ["main", "run"]
