"""How good a segmentation is: the measures, the benchmark that applies them to a dataset, the paper's tables.

The measures are those of `wsi_nucssl.metrics`, under this name too; importing them needs no torch. The benchmark is in
`wsi_nucssl.evaluate.benchmark`.
"""

from wsi_nucssl.metrics import (
    PanopticQuality,
    Scores,
    aji,
    aji_plus,
    dice1,
    dice2,
    f1,
    hausdorff,
    pixel_jaccard,
    pq,
    score,
)

__all__ = [
    "PanopticQuality",
    "Scores",
    "aji",
    "aji_plus",
    "dice1",
    "dice2",
    "f1",
    "hausdorff",
    "pixel_jaccard",
    "pq",
    "score",
]
