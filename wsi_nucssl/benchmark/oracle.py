"""Where the AJI goes: what a method would reach if its splitting, or its foreground, were perfect.

All of it works on label images, so that anybody's predictions can be asked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, maximum

from wsi_nucssl.benchmark.averages import mean_of
from wsi_nucssl.datasets.sample import LabelImage
from wsi_nucssl.metrics import aji
from wsi_nucssl.metrics.contingency import Comparison, Labels
from wsi_nucssl.metrics.drawing import interior
from wsi_nucssl.metrics.panoptic import pq_of
from wsi_nucssl.nuclei.flood import regrow

_FRACTIONS: Final = ("perfect_splitting", "perfect_foreground", "precision", "recall")


@dataclass(frozen=True, slots=True)
class Decomposition:
    """What one predicted label image lacks.

    Attributes
    ----------
    perfect_splitting : float
        AJI of `split_perfectly`.
    perfect_foreground : float
        AJI of `fill_perfectly`.
    precision, recall : float
        Fraction of the predicted foreground's px that are true, and of the true ones that were predicted.
    true_positives, missed, false_positives : int
        Pairs of IoU > 0.5, and the true and predicted nuclei that are in none.
    """

    perfect_splitting: float
    perfect_foreground: float
    precision: float
    recall: float
    true_positives: int
    missed: int
    false_positives: int


def decompose(pair: Comparison) -> Decomposition:
    """Ask both oracles about a prediction.

    Undefined values follow the rule of `wsi_nucssl.metrics`: nan if both images are empty, 0 if one is.
    """
    true, pred, table = pair.true, pair.pred, pair.table
    matched = pq_of(table)
    shared = int(table.intersections.sum())
    return Decomposition(
        aji(true, split_perfectly(true, pred)),
        aji(true, fill_perfectly(true, pred)),
        table.ratio(shared, int(table.pred_areas.sum())),
        table.ratio(shared, int(table.true_areas.sum())),
        matched.tp,
        matched.fn,
        matched.fp,
    )


def summary(images: Iterable[Decomposition]) -> dict[str, float]:
    """Over images: means of the fractions, undefined ones (nan) left out, and sums of the counts."""
    table = [asdict(image) for image in images]
    columns = {name: [row[name] for row in table] for name in table[0]}
    return {name: mean_of(values) if name in _FRACTIONS else sum(values) for name, values in columns.items()}


def split_perfectly(true: Labels, pred: Labels) -> Labels:
    """The foreground of `pred`, split as the truth would split it; int64 (row, col).

    A predicted pixel inside a true nucleus gets that nucleus's id. One outside gets the id of the nearest (Euclidean)
    predicted pixel that is inside one, if its own predicted nucleus overlaps any true one; a predicted nucleus that
    overlaps none stays as it is, under a new id. No pixel is added or taken away, and no true nucleus overlaps two
    predicted ones: the AJI of the result is the pixel Jaccard of `pred`.
    """
    inside = (true > 0) & (pred > 0)
    alone = np.where(pred > 0, pred.astype(np.int64) + int(true.max(initial=0)), 0)
    if not inside.any():
        return alone
    rows, cols = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    touching = np.isin(pred, np.unique(pred[inside]))
    return np.where((pred > 0) & touching, true[rows, cols], alone)


def fill_perfectly(true: Labels, pred: Labels) -> LabelImage:
    """The foreground of `true`, split as `pred` would split it; int32 (row, col).

    1. Each 4-connected piece of a predicted nucleus has a *core*: its pixels at least half as far from the outermost
       pixels (those with a 4-neighbour of another id) as its deepest ones.
    2. What of the piece lies in the true foreground, and hangs together there (4-connected) with a pixel of the core,
       is a *marker* with the predicted nucleus's id. A piece whose core lies outside has none.
    3. The markers grow through the true foreground, step by step to 4-neighbours, each pixel joining the marker that
       is nearest (`nuclei.flood.regrow`). True foreground that no marker reaches is left empty: it was missed.
    """
    markers = _markers(true > 0, pred.astype(np.int32))
    foreground = (true > 0).astype(np.uint8)
    regrow(markers, foreground, np.zeros(true.shape, np.uint8), true.size)
    return markers


def _markers(foreground: NDArray[np.bool_], pred: LabelImage) -> LabelImage:
    pieces = _pieces(np.where(foreground, pred, 0))
    hold_core = np.unique(pieces[_cores(pred) & foreground])
    return np.ascontiguousarray(np.where(np.isin(pieces, hold_core[hold_core > 0]), pred, 0), np.int32)


def _cores(pred: LabelImage) -> NDArray[np.bool_]:
    """The core of each 4-connected piece of a nucleus; bool (row, col)."""
    pieces = _pieces(pred)
    inner = interior(pred)
    depth = np.zeros(pred.shape) if inner.all() else distance_transform_edt(inner)
    deepest = np.append(0.0, maximum(depth, pieces, np.arange(1, pieces.max() + 1)))
    cores: NDArray[np.bool_] = (pieces > 0) & (2 * depth >= deepest[pieces])
    return cores


def _pieces(labels: LabelImage) -> NDArray[np.int32]:
    """4-connected components of one id each, numbered from 1; (row, col).

    Counted on a grid twice as fine, where a px between two px is set if they have the same id.
    """
    rows, cols = labels.shape
    fine = np.zeros((2 * rows - 1, 2 * cols - 1), np.uint8)
    fine[::2, ::2] = labels > 0
    fine[1::2, ::2] = (labels[1:] == labels[:-1]) & (labels[1:] > 0)
    fine[::2, 1::2] = (labels[:, 1:] == labels[:, :-1]) & (labels[:, 1:] > 0)
    _, numbers = cv2.connectedComponents(fine, connectivity=4, ltype=cv2.CV_32S)
    return np.ascontiguousarray(numbers[::2, ::2])
