"""`interp verify MODEL --published`: a GPT-2 small against everything published about it.

In a notebook:

    from analyses.verification import run
    run("gpt2", n=100, out="out/verify").counts()
"""

from analyses.verification.record import Record
from analyses.verification.analysis import run

__all__ = ["Record", "run"]
