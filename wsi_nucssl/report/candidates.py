"""A few nuclei out of millions, kept while all of them pass: the largest, the least sure, some at random."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

_KEPT: Final = 24


class Candidates:
    """The places of the nuclei with the least keys, at most two dozen, in the order of their keys."""

    def __init__(self) -> None:
        self._keys = np.zeros(0)
        self._rows = np.zeros((0, 3))

    def add(self, keys: NDArray[np.float64], places: NDArray[np.float64]) -> None:
        """Consider nuclei: keys (n,), and for each (x, y, value) (n, 3). An infinite key is never taken."""
        taken = np.flatnonzero(np.isfinite(keys))
        keys, rows = np.append(self._keys, keys[taken]), np.concatenate([self._rows, places[taken]])
        order = np.argsort(keys, kind="stable")[:_KEPT]
        self._keys, self._rows = keys[order], rows[order]

    def __iter__(self) -> Iterator[tuple[float, float, float]]:
        return ((x, y, value) for x, y, value in self._rows.tolist())
