"""`interp verify MODEL --published`: a GPT-2 small against everything published about it.

In a notebook:

    from analyses.verification import run
    run("gpt2", n=100, out="out/verify").counts()
"""

from analyses.verification.analysis import run
from analyses.verification.record import Record

__all__ = ["Record", "run"]
