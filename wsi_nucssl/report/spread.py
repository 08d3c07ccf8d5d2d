"""How a measurement is spread over nuclei, in a fixed amount of memory however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.scale_bar import round_down

_BINS: Final = 4000
_SHOWN: Final = (0.005, 0.995)
"""Of all values; the few beyond would press the others into a corner."""
_BARS: Final = 36


@dataclass(frozen=True, slots=True)
class Histogram:
    """Bars for people.

    Attributes
    ----------
    low, width : float
        Where the first bar begins, and the width of each.
    counts : tuple of int
        Nuclei in each bar.
    median, low_percentile, high_percentile : float
        The median, and the values that 5 % of nuclei lie below and above.
    """

    low: float
    width: float
    counts: tuple[int, ...]
    median: float
    low_percentile: float
    high_percentile: float

    @property
    def high(self) -> float:
        """Where the last bar ends."""
        return self.low + self.width * len(self.counts)


class Spread:
    """Counts of a measurement in fine, even bins from `low` to `high`; what lies beyond goes to the last.

    Parameters
    ----------
    low, high : float
        The bounds.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self._step = low, (high - low) / _BINS
        self._counts = np.zeros(_BINS, np.int64)

    def add(self, values: NDArray[np.float64]) -> None:
        """Count values (n,)."""
        places = np.clip((values - self.low) / self._step, 0, _BINS - 1).astype(np.int64)
        self._counts += np.bincount(places, minlength=_BINS)

    def quantile(self, part: float) -> float:
        """The value that `part` of all lie below, to a bin's width; `low` where there are none."""
        total = int(self._counts.sum())
        place = int(np.searchsorted(np.cumsum(self._counts), part * total)) if total else 0
        return self.low + (min(place, _BINS - 1) + 0.5) * self._step

    def histogram(self) -> Histogram:
        """About three dozen bars of a round width over all but the outermost values."""
        first, last = (self.quantile(part) for part in _SHOWN)
        width = round_down(max((last - first) / _BARS * 2, 4 * self._step))
        per_bar = max(1, round(width / self._step))
        start = int((first - self.low) / self._step) // per_bar * per_bar
        bars = max(1, -(-(int((last - self.low) / self._step) + 1 - start) // per_bar))
        part = self._counts[start : start + bars * per_bar]
        padded = np.zeros(bars * per_bar, np.int64)
        padded[: len(part)] = part
        return Histogram(
            self.low + start * self._step,
            per_bar * self._step,
            tuple(padded.reshape(bars, per_bar).sum(axis=1).tolist()),
            self.quantile(0.5),
            self.quantile(0.05),
            self.quantile(0.95),
        )
