"""Panoptic quality and F1: how many nuclei were found, and how well those found were drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from wsi_nucssl.errors import UsageError
from wsi_nucssl.metrics.contingency import Contingency, Labels, contingency
from wsi_nucssl.metrics.matching import match
from wsi_nucssl.metrics.metric import fraction


@dataclass(frozen=True, slots=True)
class PanopticQuality:
    """Panoptic quality and the two factors it is made of.

    Attributes
    ----------
    pq : float
        sq × dq.
    sq : float
        Segmentation quality, the mean IoU of the matched pairs; 0 if none matched.
    dq : float
        Detection quality, the F1 score 2tp / (2tp + fp + fn).
    tp, fp, fn : int
        Matched pairs, predictions and true nuclei left over.
    """

    pq: float
    sq: float
    dq: float
    tp: int
    fp: int
    fn: int


def pq(true: Labels, pred: Labels, iou: float = 0.5) -> PanopticQuality:
    """Panoptic quality (Kirillov et al., CVPR 2019): a pair matches if its IoU is strictly above `iou`.

    From 0.5 up the matching is unique. Below, it is the one-to-one matching that maximises ΣIoU among the
    pairs above `iou`. Both images empty: pq, sq and dq are nan.

    Raises
    ------
    UsageError
        `iou` is not in [0, 1).
    """
    return pq_of(contingency(true, pred), iou)


def f1(true: Labels, pred: Labels, iou: float = 0.5) -> float:
    """F1 score of detection at IoU > `iou`, in [0, 1]: the `dq` of `pq`. Both images empty: nan."""
    return pq(true, pred, iou).dq


def pq_of(table: Contingency, iou: float = 0.5) -> PanopticQuality:
    """`pq` from the overlaps."""
    if not 0 <= iou < 1:
        raise UsageError(f"the IoU threshold must lie in [0, 1), not {iou}")
    pairs = match(table, above=iou)
    tp = int(pairs.size)
    fp, fn = table.pred_ids.size - tp, table.true_ids.size - tp
    dq = table.ratio(2 * tp, 2 * tp + fp + fn)
    sq = table.ratio(table.ious[pairs].sum(), tp)
    return PanopticQuality(pq=sq * dq, sq=sq, dq=dq, tp=tp, fp=fp, fn=fn)


_KIRILLOV: Final = "https://doi.org/10.1109/CVPR.2019.00963"
PQ: Final = fraction(
    "pq",
    "PQ",
    lambda table: pq_of(table).pq,
    help="`sq` · `dq`",
    paper=_KIRILLOV,
)
SQ: Final = fraction(
    "sq",
    "SQ",
    lambda table: pq_of(table).sq,
    help="mean IoU of the matches",
    paper=_KIRILLOV,
)
DQ: Final = fraction(
    "dq",
    "DQ",
    lambda table: pq_of(table).dq,
    help="2 · matches / (number of T + number of P)",
    paper=_KIRILLOV,
)
F1: Final = fraction(
    "f1",
    "F1",
    lambda table: pq_of(table).dq,
    help="detection F1 at IoU > 0.5: the same number as `dq`",
)
