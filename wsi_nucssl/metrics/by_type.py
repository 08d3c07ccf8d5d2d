"""Panoptic quality of each type of nuclei, and their mean: how well nuclei are found, drawn and told apart.

As for PanNuke (Gamper et al., 2020, https://arxiv.org/abs/2003.10778): a type's PQ in an image is that of the nuclei of
this type alone, and mPQ is the mean over the types that the image has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.metrics.contingency import Contingency, Ints
from wsi_nucssl.metrics.matching import match

TypeOf = Mapping[int, str | None]
"""The type of each id; None, or no entry, where it is unknown."""


def pq_by_type(
    table: Contingency, true_types: TypeOf, pred_types: TypeOf, names: Iterable[str]
) -> dict[str, float]:
    """PQ at IoU > 0.5 of the nuclei of each type, in [0, 1].

    Nan for a type that no true nucleus has, whatever was predicted, as PanNuke's authors count. A predicted nucleus
    that matches a true one of unknown type is neither right nor wrong, and is left out.

    Parameters
    ----------
    table : Contingency
        The overlaps of true and predicted nuclei.
    true_types, pred_types : mapping of int to str or None
        By id.
    names : iterable of str
        The types to score.
    """
    true, pred = _types(table.true_ids, true_types), _types(table.pred_ids, pred_types)
    pairs = match(table, above=0.5)
    ious, rows, cols = table.ious[pairs], table.rows[pairs], table.cols[pairs]
    counted = np.ones(len(pred), np.bool_)
    counted[cols[true[rows] == ""]] = False
    return {
        name: _pq(ious[(true[rows] == name) & (pred[cols] == name)], true == name, (pred == name) & counted)
        for name in names
    }


def _pq(ious: NDArray[np.float64], true: NDArray[np.bool_], pred: NDArray[np.bool_]) -> float:
    """Of a type: ΣIoU of its matches over the mean of the numbers of its true and predicted nuclei."""
    return float(2 * ious.sum() / (true.sum() + pred.sum())) if true.any() else float("nan")


def _types(ids: Ints, types: TypeOf) -> NDArray[np.str_]:
    """The type of each id, "" where it is unknown."""
    return np.array([types.get(int(each)) or "" for each in ids], dtype=np.str_)
