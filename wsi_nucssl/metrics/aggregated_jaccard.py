"""Aggregated Jaccard index, as Kumar defined it and with a one-to-one matching."""

from __future__ import annotations

from typing import Final

import numpy as np

from wsi_nucssl.metrics.contingency import Contingency, Ints, Labels, contingency
from wsi_nucssl.metrics.matching import match
from wsi_nucssl.metrics.metric import fraction


def aji(true: Labels, pred: Labels) -> float:
    """Aggregated Jaccard index (Kumar et al., IEEE TMI 36(7), 2017, algorithm 1), in [0, 1].

    Each true nucleus takes the predicted one of highest IoU among those it overlaps (a tie goes to the
    smallest id); C sums the intersections, U the unions. A true nucleus that overlaps nothing adds its
    area to U; so does, once, every predicted nucleus never taken. A prediction may be taken more than
    once. AJI = C / U.

    Parameters
    ----------
    true, pred : ndarray of int
        Label images of one shape (row, col), 0 is background.

    Returns
    -------
    float
        Both images empty: nan. One empty: 0.
    """
    return aji_of(contingency(true, pred))


def aji_plus(true: Labels, pred: Labels) -> float:
    """AJI+ (Graham et al., HoVer-Net, 2019), in [0, 1]: as AJI, but matched one to one for the largest ΣIoU.

    Both images empty: nan. One empty: 0.
    """
    return aji_plus_of(contingency(true, pred))


def aji_of(table: Contingency) -> float:
    """`aji` from the overlaps."""
    return table.ratio(*aji_sums_of(table))


def aji_sums_of(table: Contingency) -> tuple[int, int]:
    """C and U of `aji`, in px: summed over images before dividing they give the AJI of all nuclei pooled."""
    return _sums(table, _best_pairs(table))


def aji_plus_of(table: Contingency) -> float:
    """`aji_plus` from the overlaps."""
    return table.ratio(*_sums(table, match(table, above=0.0)))


def _best_pairs(table: Contingency) -> Ints:
    """Index of the pair of highest IoU of every true instance that overlaps anything."""
    order = np.lexsort((table.cols, -table.ious, table.rows))
    first: Ints = order[np.diff(table.rows[order], prepend=-1) > 0]
    return first


def _sums(table: Contingency, pairs: Ints) -> tuple[int, int]:
    """ΣI and ΣU over the pairs, with every instance in no pair added to the unions."""
    lone_true = np.delete(table.true_areas, np.unique(table.rows[pairs]))
    lone_pred = np.delete(table.pred_areas, np.unique(table.cols[pairs]))
    union = table.unions[pairs].sum() + lone_true.sum() + lone_pred.sum()
    return int(table.intersections[pairs].sum()), int(union)


AJI: Final = fraction(
    "aji",
    "AJI",
    aji_of,
    help="each T takes the P of highest IoU among those it overlaps (tie: the smallest id); C sums the intersections, "
    "U the unions; a T that overlaps nothing and each P never taken add their area to U. C / U",
    paper="https://doi.org/10.1109/TMI.2017.2677499",
)
AJI_PLUS: Final = fraction(
    "aji_plus",
    "AJI+",
    aji_plus_of,
    help="as AJI, with the one-to-one matching of largest total IoU",
    paper="https://doi.org/10.1016/j.media.2019.101563",
)
