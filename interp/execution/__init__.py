"""Execution: the store of results, in which finished parts are kept and resumed."""

from interp.execution.store import Results, Store, load, save

__all__ = ["Results", "Store", "load", "save"]
