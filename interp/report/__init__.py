"""Reports: text, tables, figures and drawings as one HTML page that needs no network."""

from interp.report.items import Drawing, Figure, Item, Table
from interp.report.page import Download, Report, Section

__all__ = ["Download", "Drawing", "Figure", "Item", "Report", "Section", "Table"]
