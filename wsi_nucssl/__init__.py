"""Nuclei in whole-slide images: pretrain on your slides, fine-tune on your labels, segment for QuPath.

Everything below is imported when it is first used, so that `import wsi_nucssl` costs nothing.

>>> import wsi_nucssl as wn
>>> result = wn.segment("slide.svs", region=(1000, 2000, 1024, 1024))  # doctest: +SKIP
>>> result.table.area_um2.mean()  # doctest: +SKIP
>>> result.plot()  # doctest: +SKIP

One name a job (`segment`, `segment_slide`, `segment_slides`, `export`, `pretrain`, `finetune`, `benchmark`), and what
they are made of.
docs/python.md is a tour.
"""

from wsi_nucssl._version import __version__ as __version__
from wsi_nucssl.lazy import lazily

TYPE_CHECKING = (
    False  # type checkers know the name; importing it from typing takes most of the time that is spent here
)
if TYPE_CHECKING:
    from wsi_nucssl.datasets import Split as Split
    from wsi_nucssl.datasets import open_dataset as open_dataset
    from wsi_nucssl.engines.opening import open_engine as open_engine
    from wsi_nucssl.errors import WsiNucsslError as WsiNucsslError
    from wsi_nucssl.export.geojson import write_geojson as write_geojson
    from wsi_nucssl.geometry import Box as Box
    from wsi_nucssl.geometry import Mpp as Mpp
    from wsi_nucssl.geometry import Point as Point
    from wsi_nucssl.geometry import Size as Size
    from wsi_nucssl.jobs.exporting import export as export
    from wsi_nucssl.jobs.finetuning import finetune as finetune
    from wsi_nucssl.jobs.planning import plan_slides as plan_slides
    from wsi_nucssl.jobs.pretraining import pretrain as pretrain
    from wsi_nucssl.jobs.scoring import benchmark as benchmark
    from wsi_nucssl.jobs.segmenting import segment_slide as segment_slide
    from wsi_nucssl.jobs.segmenting import segment_slides as segment_slides
    from wsi_nucssl.jobs.tile_loader import tile_loader as tile_loader
    from wsi_nucssl.jobs.verifying import verify as verify
    from wsi_nucssl.metrics import aji as aji
    from wsi_nucssl.models.weights import load_model as load_model
    from wsi_nucssl.nuclei.instances import label_instances as label_instances
    from wsi_nucssl.nuclei.settings import InstanceConfig as InstanceConfig
    from wsi_nucssl.nuclei.table import Nuclei as Nuclei
    from wsi_nucssl.result import Result as Result
    from wsi_nucssl.result import read_nuclei as read_nuclei
    from wsi_nucssl.segment.images import segment_image as segment_image
    from wsi_nucssl.segment.region import segment as segment
    from wsi_nucssl.slide import Canvas as Canvas
    from wsi_nucssl.slide import open_slide as open_slide
    from wsi_nucssl.slide import tissue_mask as tissue_mask
    from wsi_nucssl.tiles.ingest import TileConfig as TileConfig
    from wsi_nucssl.tiles.ingest import ingest as ingest
    from wsi_nucssl.tiles.store import TileStore as TileStore

_HOMES = {
    "Box": "geometry",
    "Canvas": "slide",
    "InstanceConfig": "nuclei.instances",
    "Mpp": "geometry",
    "Nuclei": "nuclei.table",
    "Point": "geometry",
    "Result": "result",
    "Size": "geometry",
    "Split": "datasets",
    "TileConfig": "tiles.ingest",
    "TileStore": "tiles.store",
    "WsiNucsslError": "errors",
    "aji": "metrics",
    "benchmark": "benchmark",
    "export": "export",
    "finetune": "jobs.finetuning",
    "ingest": "tiles.ingest",
    "label_instances": "nuclei.instances",
    "load_model": "models.weights",
    "open_dataset": "datasets",
    "open_engine": "engines.opening",
    "open_slide": "slide",
    "plan_slides": "jobs.planning",
    "pretrain": "jobs.pretraining",
    "read_nuclei": "result",
    "segment": "segment",
    "segment_image": "segment.images",
    "segment_slide": "jobs.segmenting",
    "segment_slides": "jobs.segmenting",
    "tile_loader": "jobs.tile_loader",
    "tissue_mask": "slide",
    "verify": "jobs.verifying",
    "write_geojson": "export.geojson",
}

__all__ = [*_HOMES, "__version__"]
__getattr__, __dir__ = lazily(__name__, _HOMES, "__version__")
