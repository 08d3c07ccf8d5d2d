"""How good a segmentation is: label images in, floats out. Pure numpy and scipy.

Every measure takes two label images of one shape, (row, col), any integer dtype, 0 = background, ids in any
order and with gaps. An id is one instance even where its pixels do not touch. Undefined values follow one
rule:

- both images empty: nan (0/0), except the counts of `pq`; leave such images out of means;
- one of them empty, or nothing overlaps: 0, never an error;
- `hausdorff` without a single matched pair: nan, since no distance was measured.
"""

from wsi_nucssl.metrics.aji import aji, aji_plus
from wsi_nucssl.metrics.hausdorff import hausdorff
from wsi_nucssl.metrics.overlap import dice1, dice2, pixel_jaccard
from wsi_nucssl.metrics.panoptic import PanopticQuality, f1, pq
from wsi_nucssl.metrics.scores import Scores, score

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
