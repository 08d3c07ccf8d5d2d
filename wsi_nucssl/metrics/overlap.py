"""Overlap of foregrounds and of instances: Dice and Jaccard."""

from __future__ import annotations

from typing import Final

from wsi_nucssl.metrics.contingency import Contingency, Labels, contingency
from wsi_nucssl.metrics.metric import fraction


def dice1(true: Labels, pred: Labels) -> float:
    """Dice of the foregrounds, 2|T ∩ P| / (|T| + |P|), in [0, 1]. Both images empty: nan."""
    return dice1_of(contingency(true, pred))


def dice2(true: Labels, pred: Labels) -> float:
    """Ensemble Dice, 2Σ|T_i ∩ P_j| / Σ(|T_i| + |P_j|) over every overlapping pair, in [0, 1].

    An instance counts once per pair it is in; one that overlaps nothing does not count (Dice2 does not see
    misses). No pair at all: 0, or nan if both images are empty. (Vu et al., Front. Bioeng. Biotechnol.
    7:53, 2019.)
    """
    return dice2_of(contingency(true, pred))


def pixel_jaccard(true: Labels, pred: Labels) -> float:
    """Jaccard index of the foregrounds, |T ∩ P| / |T ∪ P|, in [0, 1]. Both images empty: nan."""
    return pixel_jaccard_of(contingency(true, pred))


def dice1_of(table: Contingency) -> float:
    """`dice1` from the overlaps."""
    return table.ratio(2 * table.intersections.sum(), table.true_areas.sum() + table.pred_areas.sum())


def dice2_of(table: Contingency) -> float:
    """`dice2` from the overlaps."""
    areas = table.true_areas[table.rows] + table.pred_areas[table.cols]
    return table.ratio(2 * table.intersections.sum(), areas.sum())


def pixel_jaccard_of(table: Contingency) -> float:
    """`pixel_jaccard` from the overlaps."""
    shared = table.intersections.sum()
    return table.ratio(shared, table.true_areas.sum() + table.pred_areas.sum() - shared)


DICE1: Final = fraction(
    "dice1",
    "Dice1",
    dice1_of,
    help="Dice of the foregrounds",
    paper="https://doi.org/10.2307/1932409",
)
DICE2: Final = fraction(
    "dice2",
    "Dice2",
    dice2_of,
    help="2 Σ intersections / Σ (areas of T + P) over every overlapping pair",
    paper="https://doi.org/10.3389/fbioe.2019.00053",
)
PIXEL_JACCARD: Final = fraction(
    "pixel_jaccard",
    "pixel Jaccard",
    pixel_jaccard_of,
    help='Jaccard of the foregrounds. Published "AJI" values are sometimes this; compare before you compete',
    paper="https://doi.org/10.1111/j.1469-8137.1912.tb05611.x",
)
