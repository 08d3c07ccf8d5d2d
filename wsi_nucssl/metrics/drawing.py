"""Errors drawn on the image, a colour for each kind."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.captions import Swatch
from wsi_nucssl.errors import UsageError
from wsi_nucssl.metrics.contingency import Comparison, Ints, Labels, compare
from wsi_nucssl.metrics.verdicts import COUNTS, Verdict, verdicts_of

COLOURS: Final = {
    Verdict.TRUE_POSITIVE: (0, 170, 60),
    Verdict.MISSED: (225, 20, 20),
    Verdict.FALSE_POSITIVE: (20, 70, 255),
    Verdict.MERGED: (255, 150, 0),
    Verdict.SPLIT: (200, 0, 200),
}
"""RGB of each verdict's outline."""
_TABLE: Final = np.array([(0, 0, 0), *COLOURS.values()], np.uint8)


def draw_errors(image: NDArray[np.uint8], true: Labels, pred: Labels) -> NDArray[np.uint8]:
    """Outline every nucleus on a copy of the RGB image (row, col, 3), in the colour of its verdict.

    Predictions are outlined, and of the true nuclei those that were missed, merged or split; an outline lies on the
    nucleus's own outermost pixels, and the true one goes on top.

    Raises
    ------
    UsageError
        Image and label images differ in size.
    """
    return draw_verdicts(image, compare(true, pred))


def draw_verdicts(image: NDArray[np.uint8], pair: Comparison) -> NDArray[np.uint8]:
    """`draw_errors` of label images that were compared before."""
    true, pred, table = pair.true, pair.pred, pair.table
    if image.shape[:2] != true.shape:
        raise UsageError(f"the image is {image.shape[:2]}, its labels are {true.shape} (row, col)")
    verdicts = verdicts_of(table)
    colours = _outlines(pred, table.pred_ids, verdicts.pred)
    wrong = np.where(verdicts.true == Verdict.TRUE_POSITIVE, 0, verdicts.true).astype(np.uint8)
    errors = _outlines(true, table.true_ids, wrong)
    colours[errors > 0] = errors[errors > 0]
    return np.where(colours[..., None] > 0, _TABLE[colours], image)


def verdict_legend(pair: Comparison) -> list[Swatch]:
    """What the colours of `draw_verdicts` mean, and how many nuclei have each."""
    counts = verdicts_of(pair.table).counts()
    return [
        Swatch(COLOURS[verdict], f"{name.replace('_', ' ')} ({counts[name]:,})")
        for name, verdict in COUNTS.items()
    ]


def _outlines(labels: Labels, ids: Ints, verdicts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The verdict of each nucleus on its outermost pixels, 0 elsewhere; uint8 (row, col)."""
    outline = (labels > 0) & ~interior(labels)
    drawn = np.zeros(labels.shape, np.uint8)
    drawn[outline] = verdicts[np.searchsorted(ids, labels[outline])]
    return drawn


def interior(labels: Labels) -> NDArray[np.bool_]:
    """Pixels of nuclei whose 4-neighbours all have the same id, bool (row, col); the image's edge is nobody else's."""
    around = np.pad(labels, 1, mode="edge")
    inner = labels > 0
    for rows, cols in ((0, 1), (2, 1), (1, 0), (1, 2)):
        inner &= around[rows : rows + labels.shape[0], cols : cols + labels.shape[1]] == labels
    return inner
