"""What became of each nucleus: true positive, missed, false positive, merged or split."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.metrics.contingency import Contingency, Ints
from wsi_nucssl.metrics.matching import match


class Verdict(IntEnum):
    """What became of a nucleus."""

    TRUE_POSITIVE = 1
    MISSED = 2
    FALSE_POSITIVE = 3
    MERGED = 4
    SPLIT = 5


COUNTS: Final = {
    "true_positives": Verdict.TRUE_POSITIVE,
    "missed": Verdict.MISSED,
    "false_positives": Verdict.FALSE_POSITIVE,
    "merged": Verdict.MERGED,
    "split": Verdict.SPLIT,
}
"""Each verdict by the name of its count."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """A verdict for every nucleus of two label images, in the order of `Contingency.true_ids` and `.pred_ids`.

    Attributes
    ----------
    true : NDArray[np.uint8]
        (T,) true positive, missed, merged or split.
    pred : NDArray[np.uint8]
        (P,) true positive, false positive, merged or split.
    """

    true: NDArray[np.uint8]
    pred: NDArray[np.uint8]

    def counts(self) -> dict[str, int]:
        """By the names of `COUNTS`: true nuclei of each verdict (together all of them), and false positives."""
        sides = dict.fromkeys(Verdict, self.true) | {Verdict.FALSE_POSITIVE: self.pred}
        return {name: int((sides[verdict] == verdict).sum()) for name, verdict in COUNTS.items()}


def verdicts_of(table: Contingency) -> Verdicts:
    """Give every nucleus its verdict.

    - A pair of IoU > 0.5 is a **true positive**, as PQ counts it. What follows concerns the rest.
    - A prediction that holds more than half of each of two or more true nuclei **merged** them.
    - A true nucleus that holds more than half of each of two or more predictions was **split** into them.
    - Any other true nucleus was **missed**, any other prediction is a **false positive**; a nucleus drawn so badly
      that its IoU is 0.5 or less is both.
    """
    rows, cols, shared = table.rows, table.cols, table.intersections
    swallowed = 2 * shared > table.true_areas[rows]  # most of the true nucleus lies in the prediction
    shards = 2 * shared > table.pred_areas[cols]  # most of the prediction lies in the true nucleus
    merging = _at_least_two(cols[swallowed], table.pred_ids.size)
    splitting = _at_least_two(rows[shards], table.true_ids.size)
    true = np.full(table.true_ids.size, Verdict.MISSED, np.uint8)
    pred = np.full(table.pred_ids.size, Verdict.FALSE_POSITIVE, np.uint8)
    true[splitting] = Verdict.SPLIT
    pred[cols[shards & splitting[rows]]] = Verdict.SPLIT
    true[rows[swallowed & merging[cols]]] = Verdict.MERGED
    pred[merging] = Verdict.MERGED
    matched = match(table, above=0.5)
    true[rows[matched]] = Verdict.TRUE_POSITIVE
    pred[cols[matched]] = Verdict.TRUE_POSITIVE
    return Verdicts(true, pred)


def _at_least_two(index: Ints, size: int) -> NDArray[np.bool_]:
    repeated: NDArray[np.bool_] = np.bincount(index, minlength=size) >= 2
    return repeated
