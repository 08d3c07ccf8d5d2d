"""How far apart the outlines of matched nuclei lie at worst."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from scipy.spatial import cKDTree

from wsi_nucssl.metrics.contingency import Contingency, Ints, Labels, contingency
from wsi_nucssl.metrics.matching import match
from wsi_nucssl.metrics.metric import PX, Metric

_Window = tuple[slice, ...]
_Mask = NDArray[np.bool_]


def hausdorff(true: Labels, pred: Labels) -> float:
    """Mean Hausdorff distance in px over the pairs of IoU > 0.5 (those that PQ counts as found).

    The distance of a pair is the largest distance from a pixel (centre) of one nucleus to the nearest of the
    other, whichever way it is larger. Misses and false detections do not enter. No such pair: nan.
    """
    return hausdorff_of(contingency(true, pred), true, pred)


def hausdorff_of(table: Contingency, true: Labels, pred: Labels) -> float:
    """`hausdorff` from the overlaps and the images they were counted on."""
    pairs = match(table, above=0.5)
    if pairs.size == 0:
        return float("nan")
    true_windows, pred_windows = _windows(true, table.true_ids), _windows(pred, table.pred_ids)
    distances = []
    for row, col in zip(table.rows[pairs], table.cols[pairs], strict=True):
        window = _joint(true_windows[row], pred_windows[col])
        first, second = true[window] == table.true_ids[row], pred[window] == table.pred_ids[col]
        distances.append(max(_directed(first, second), _directed(second, first)))
    return float(np.mean(distances))


def _windows(labels: Labels, ids: Ints) -> list[_Window]:
    """The bounding slices of each id, in the order of `ids`."""
    index = np.zeros(labels.shape, np.int32)
    foreground = labels > 0
    index[foreground] = np.searchsorted(ids, labels[foreground]) + 1
    found: list[_Window] = find_objects(index, max_label=ids.size)
    return found


def _joint(first: _Window, second: _Window) -> _Window:
    """The smallest window that holds both."""
    return tuple(
        slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(first, second, strict=True)
    )


def _directed(source: _Mask, target: _Mask) -> float:
    """Largest distance from a pixel of `source` to the nearest of `target`; shared ones are at 0."""
    stray = np.argwhere(source & ~target)
    if stray.size == 0:
        return 0.0
    return float(np.max(cKDTree(np.argwhere(target)).query(stray)[0]))


HAUSDORFF: Final = Metric(
    "hausdorff",
    "Hausdorff",
    lambda pair: hausdorff_of(pair.table, pair.true, pair.pred),
    PX,
    higher_is_better=False,
    help="mean over the matches of the larger of the two directed distances",
    paper="https://doi.org/10.1109/34.232073",
)
