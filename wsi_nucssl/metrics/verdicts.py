"""What became of each nucleus: found, missed, invented, merged or split."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.metrics.contingency import Contingency, Ints
from wsi_nucssl.metrics.matching import match


class Verdict(IntEnum):
    """What became of a nucleus."""

    FOUND = 1
    MISSED = 2
    INVENTED = 3
    MERGED = 4
    SPLIT = 5


@dataclass(frozen=True, slots=True)
class Verdicts:
    """A verdict for every nucleus of two label images, in the order of `Contingency.true_ids` and `.pred_ids`.

    Attributes
    ----------
    true : (T,) found, missed, merged or split.
    pred : (P,) found, invented, merged or split.
    """

    true: NDArray[np.uint8]
    pred: NDArray[np.uint8]

    def counts(self) -> dict[str, int]:
        """True nuclei found, missed, merged and split (together all of them), and predictions invented."""
        sides = dict.fromkeys(Verdict, self.true) | {Verdict.INVENTED: self.pred}
        return {verdict.name.lower(): int((side == verdict).sum()) for verdict, side in sides.items()}


def verdicts_of(table: Contingency) -> Verdicts:
    """Judge every nucleus.

    - A pair of IoU > 0.5 is **found**, as PQ counts it. What follows concerns the rest.
    - A prediction that holds more than half of each of two or more true nuclei **merged** them.
    - A true nucleus that holds more than half of each of two or more predictions was **split** into them.
    - What remains was **missed**, or is **invented**; a nucleus drawn so badly that its IoU is 0.5 or less is
      both.
    """
    rows, cols, shared = table.rows, table.cols, table.intersections
    swallowed = 2 * shared > table.true_areas[rows]  # most of the true nucleus lies in the prediction
    shards = 2 * shared > table.pred_areas[cols]  # most of the prediction lies in the true nucleus
    merging = _at_least_two(cols[swallowed], table.pred_ids.size)
    splitting = _at_least_two(rows[shards], table.true_ids.size)
    true = np.full(table.true_ids.size, Verdict.MISSED, np.uint8)
    pred = np.full(table.pred_ids.size, Verdict.INVENTED, np.uint8)
    true[splitting] = Verdict.SPLIT
    pred[cols[shards & splitting[rows]]] = Verdict.SPLIT
    true[rows[swallowed & merging[cols]]] = Verdict.MERGED
    pred[merging] = Verdict.MERGED
    found = match(table, above=0.5)
    true[rows[found]] = Verdict.FOUND
    pred[cols[found]] = Verdict.FOUND
    return Verdicts(true, pred)


def _at_least_two(index: Ints, size: int) -> NDArray[np.bool_]:
    repeated: NDArray[np.bool_] = np.bincount(index, minlength=size) >= 2
    return repeated
