"""How good a segmentation is: label images in, floats out. Pure numpy and scipy.

Every metric takes two label images of one shape, (row, col), any integer dtype, 0 = background, ids in any
order and with gaps. An id is one instance even where its pixels do not touch. Undefined values follow one
rule:

- both images empty: nan (0/0), except the counts of `pq`; leave such images out of means;
- one of them empty, or nothing overlaps: 0, never an error;
- `hausdorff` without a single matched pair: nan, since no distance was measured.

`registry.METRICS` lists them with their units; packages add to it. Names below are imported when they are first used.
"""

from typing import TYPE_CHECKING, Final

from wsi_nucssl.lazy import lazily

if TYPE_CHECKING:
    from wsi_nucssl.metrics.aggregated_jaccard import aji as aji
    from wsi_nucssl.metrics.aggregated_jaccard import aji_plus as aji_plus
    from wsi_nucssl.metrics.contingency import Comparison as Comparison
    from wsi_nucssl.metrics.contingency import compare as compare
    from wsi_nucssl.metrics.hausdorff_distance import hausdorff as hausdorff
    from wsi_nucssl.metrics.metric import PERCENT as PERCENT
    from wsi_nucssl.metrics.metric import PX as PX
    from wsi_nucssl.metrics.metric import Metric as Metric
    from wsi_nucssl.metrics.metric import Unit as Unit
    from wsi_nucssl.metrics.overlap import dice1 as dice1
    from wsi_nucssl.metrics.overlap import dice2 as dice2
    from wsi_nucssl.metrics.overlap import pixel_jaccard as pixel_jaccard
    from wsi_nucssl.metrics.panoptic import PanopticQuality as PanopticQuality
    from wsi_nucssl.metrics.panoptic import f1 as f1
    from wsi_nucssl.metrics.panoptic import pq as pq
    from wsi_nucssl.metrics.registry import METRICS as METRICS
    from wsi_nucssl.metrics.scores import Scores as Scores
    from wsi_nucssl.metrics.scores import score as score

_HOMES: Final = {
    "METRICS": "registry",
    "PERCENT": "metric",
    "PX": "metric",
    "Comparison": "contingency",
    "Metric": "metric",
    "PanopticQuality": "panoptic",
    "Scores": "scores",
    "Unit": "metric",
    "aji": "aggregated_jaccard",
    "aji_plus": "aggregated_jaccard",
    "compare": "contingency",
    "dice1": "overlap",
    "dice2": "overlap",
    "f1": "panoptic",
    "hausdorff": "hausdorff_distance",
    "pixel_jaccard": "overlap",
    "pq": "panoptic",
    "score": "scores",
}

__all__ = [*_HOMES]
__getattr__, __dir__ = lazily(__name__, _HOMES)
