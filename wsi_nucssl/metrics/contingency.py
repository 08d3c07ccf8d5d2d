"""Which instance overlaps which, and by how much: counted once, shared by every metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.checks import shown
from wsi_nucssl.errors import UsageError

Labels = NDArray[np.integer]
"""Label image of shape (row, col), any integer dtype; 0 = background."""
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_DENSE_CODES = 1 << 24
"""Up to this many distinct codes a count table is quicker than a sort."""


@dataclass(frozen=True, slots=True)
class Contingency:
    """The overlapping pairs of two label images, sparse.

    Attributes
    ----------
    true_ids, pred_ids : Ints
        (T,) and (P,) ids present, ascending.
    true_areas, pred_areas : Ints
        (T,) and (P,) pixels of each.
    rows, cols : Ints
        (N,) of every pair that shares a pixel, its index into `true_ids` and `pred_ids`; in that order.
    intersections : Ints
        (N,) pixels shared.
    """

    true_ids: Ints
    pred_ids: Ints
    true_areas: Ints
    pred_areas: Ints
    rows: Ints
    cols: Ints
    intersections: Ints

    @property
    def unions(self) -> Ints:
        """(N,) pixels in either instance of each pair."""
        union: Ints = self.true_areas[self.rows] + self.pred_areas[self.cols] - self.intersections
        return union

    @property
    def ious(self) -> Floats:
        """(N,) intersection over union of each pair; equal fractions give equal floats."""
        iou: Floats = self.intersections / self.unions
        return iou

    def ratio(self, numerator: float, denominator: float) -> float:
        """The quotient; for 0/0, nan if both images are empty, else 0 (nothing was found that is there)."""
        if denominator:
            return float(numerator / denominator)
        return 0.0 if self.true_ids.size or self.pred_ids.size else float("nan")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two label images and their overlaps: what a metric sees.

    Attributes
    ----------
    true, pred : Labels
        (row, col), of one shape.
    table : Contingency
        Their overlaps.
    """

    true: Labels
    pred: Labels
    table: Contingency


def compare(true: Labels, pred: Labels) -> Comparison:
    """Count the overlaps once for all that asks about them; two label images of one shape (row, col).

    Raises
    ------
    UsageError
        The shapes differ, or an array is not a label image (2-D, integer, no negative id).
    """
    return Comparison(true, pred, contingency(true, pred))


def contingency(true: Labels, pred: Labels) -> Contingency:
    """Count the overlaps of two label images of shape (row, col).

    Raises
    ------
    UsageError
        The shapes differ, or an array is not a label image (2-D, integer, no negative id).
    """
    _check(true, pred)
    true_ids, true_index = _compact(true)
    pred_ids, pred_index = _compact(pred)
    width = pred_ids.size + 1
    codes, counts = _count(true_index * width + pred_index, (true_ids.size + 1) * width)
    rows, cols = np.divmod(codes, width)
    both = (rows > 0) & (cols > 0)
    return Contingency(
        true_ids=true_ids,
        pred_ids=pred_ids,
        true_areas=_areas(rows, counts, true_ids.size),
        pred_areas=_areas(cols, counts, pred_ids.size),
        rows=rows[both] - 1,
        cols=cols[both] - 1,
        intersections=counts[both],
    )


def _check(true: Any, pred: Any) -> None:
    for side, labels in (("true", true), ("pred", pred)):
        if not isinstance(labels, np.ndarray):
            raise UsageError(
                f"⟨{side}⟩ is not a label image, but {shown(labels)}",
                remedy="Give a (row, col) integer array, such as the labels of a Result",
            )
        if labels.ndim != 2 or not np.issubdtype(labels.dtype, np.integer):
            raise UsageError(
                f"⟨{side}⟩ is not a label image: shape {labels.shape}, dtype {labels.dtype}",
                remedy="Give a (row, col) integer array, one id per nucleus (scipy.ndimage.label makes one)",
            )
        if labels.size and labels.min() < 0:
            raise UsageError(f"⟨{side}⟩ holds negative ids", remedy="Use 0 for background, ids from 1")
    if true.shape != pred.shape:
        raise UsageError(f"the label images differ in size: {true.shape} and {pred.shape} (row, col)")


def _compact(labels: Labels) -> tuple[Ints, Ints]:
    """Ids present, ascending, and for each pixel 0 or 1 + the index of its id."""
    flat = labels.ravel()
    bound = int(flat.max(initial=0)) + 1
    if bound > _DENSE_CODES:
        values, inverse = np.unique(flat, return_inverse=True)
        background = int(values[0] == 0)
        return values[background:].astype(np.int64), inverse.astype(np.int64) + (1 - background)
    flat = flat.astype(np.int64)
    present = np.bincount(flat, minlength=bound) > 0
    present[0] = False
    index: Ints = np.cumsum(present, dtype=np.int64)[flat]
    index[flat == 0] = 0
    return np.flatnonzero(present), index


def _count(codes: Ints, bound: int) -> tuple[Ints, Ints]:
    """Distinct codes, ascending, and how often each occurs; all codes are below `bound`."""
    if bound > _DENSE_CODES:
        return np.unique(codes, return_counts=True)
    counts = np.bincount(codes, minlength=bound)
    present = np.flatnonzero(counts)
    return present, counts[present]


def _areas(index: Ints, counts: Ints, size: int) -> Ints:
    return np.bincount(index, weights=counts, minlength=size + 1)[1:].astype(np.int64)
