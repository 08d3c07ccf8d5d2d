"""All measures of one image at once, from one count of the overlaps."""

from __future__ import annotations

from dataclasses import dataclass

from wsi_nucssl.metrics.aji import aji_of, aji_plus_of
from wsi_nucssl.metrics.contingency import Labels, contingency
from wsi_nucssl.metrics.hausdorff import hausdorff_of
from wsi_nucssl.metrics.overlap import dice1_of, dice2_of, pixel_jaccard_of
from wsi_nucssl.metrics.panoptic import pq_of


@dataclass(frozen=True, slots=True)
class Scores:
    """The measures of one predicted label image; each as the function of its name; `f1` at IoU > 0.5."""

    aji: float
    aji_plus: float
    pq: float
    sq: float
    dq: float
    f1: float
    dice1: float
    dice2: float
    pixel_jaccard: float
    hausdorff: float


def score(true: Labels, pred: Labels) -> Scores:
    """Every measure of `pred` against `true`, two label images of one shape (row, col).

    Raises
    ------
    UsageError : the shapes differ, or an array is not a label image.
    """
    table = contingency(true, pred)
    panoptic = pq_of(table)
    return Scores(
        aji=aji_of(table),
        aji_plus=aji_plus_of(table),
        pq=panoptic.pq,
        sq=panoptic.sq,
        dq=panoptic.dq,
        f1=panoptic.dq,
        dice1=dice1_of(table),
        dice2=dice2_of(table),
        pixel_jaccard=pixel_jaccard_of(table),
        hausdorff=hausdorff_of(table, true, pred),
    )
