"""Tables of nuclei in cuts of equal length, so that how a run was cut into blocks never shows in a file."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from wsi_nucssl.nuclei.table import Nuclei


class Cuts:
    """Passes tables on in cuts of `rows` nuclei; it keeps copies of less than one cut and one table.

    Parameters
    ----------
    rows : int
        Nuclei in a cut.
    write : callable
        Takes each cut: all have `rows` nuclei but the last.
    """

    def __init__(self, rows: int, write: Callable[[Nuclei], object]) -> None:
        self._rows, self._write = rows, write
        self._waiting: list[Nuclei] = []
        self._count = 0

    def add(self, nuclei: Nuclei) -> None:
        """Take a table, which is let go of."""
        if not len(nuclei):
            return
        self._waiting.append(nuclei.take(np.arange(len(nuclei))))
        self._count += len(nuclei)
        if self._count >= self._rows:
            self._pass_on(self._rows)

    def end(self) -> None:
        """Pass on what is left."""
        if self._count:
            self._pass_on(1)

    def _pass_on(self, least: int) -> None:
        """Write cuts as long as at least `least` nuclei are left for one."""
        left = []
        for cut in Nuclei.concatenate(self._waiting).slices(self._rows):
            if len(cut) >= least:
                self._write(cut)
            else:
                left.append(cut.take(np.arange(len(cut))))
        self._waiting, self._count = left, sum(map(len, left))
