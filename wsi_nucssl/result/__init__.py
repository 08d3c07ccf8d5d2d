"""Nuclei in memory, as a notebook wants them: a table, polygons, labels, a plot; from a run or from a file."""

from wsi_nucssl.result.reading import read_nuclei
from wsi_nucssl.result.result import Frame, Result

__all__ = ["Frame", "Result", "read_nuclei"]
