"""How far apart the outlines of matched nuclei lie at worst."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import find_objects
from scipy.spatial import cKDTree

from wsi_nucssl.metrics.contingency import Contingency, Ints, Labels, contingency
from wsi_nucssl.metrics.matching import match

_Window = tuple[slice, ...]


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
    distances = [
        _distance(
            _pixels(true, true_windows[row], table.true_ids[row]),
            _pixels(pred, pred_windows[col], table.pred_ids[col]),
        )
        for row, col in zip(table.rows[pairs], table.cols[pairs], strict=True)
    ]
    return float(np.mean(distances))


def _windows(labels: Labels, ids: Ints) -> list[_Window]:
    """The bounding slices of each id, in the order of `ids`."""
    compact = np.searchsorted(ids, labels) + 1
    found: list[_Window] = find_objects(np.where(labels > 0, compact, 0), max_label=ids.size)
    return found


def _pixels(labels: Labels, window: _Window, label: np.int64) -> Ints:
    """(N, 2) rows and cols of one instance."""
    pixels: Ints = np.argwhere(labels[window] == label) + [side.start for side in window]
    return pixels


def _distance(first: Ints, second: Ints) -> float:
    there, back = cKDTree(second).query(first)[0], cKDTree(first).query(second)[0]
    return float(max(np.max(there), np.max(back)))
