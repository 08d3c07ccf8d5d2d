"""Whole-slide nucleus segmentation with instance-aware self-supervised pretraining.

Everything below is imported when it is first used, so that `import wsi_nucssl` costs nothing.

>>> import wsi_nucssl
>>> model = wsi_nucssl.load_model("liteunet0x2-nuclei")  # doctest: +SKIP
>>> summary = wsi_nucssl.segment_slide(slide, output, model, wsi_nucssl.SegmentOptions())  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

from wsi_nucssl._version import __version__ as __version__

if TYPE_CHECKING:
    from wsi_nucssl.datasets import Split as Split
    from wsi_nucssl.datasets import open_dataset as open_dataset
    from wsi_nucssl.errors import WsiNucsslError as WsiNucsslError
    from wsi_nucssl.export.geojson import write_geojson as write_geojson
    from wsi_nucssl.geometry import Box as Box
    from wsi_nucssl.geometry import Mpp as Mpp
    from wsi_nucssl.geometry import Point as Point
    from wsi_nucssl.geometry import Size as Size
    from wsi_nucssl.models.weights import load_model as load_model
    from wsi_nucssl.nuclei.instances import InstanceConfig as InstanceConfig
    from wsi_nucssl.nuclei.instances import label_instances as label_instances
    from wsi_nucssl.nuclei.table import Nuclei as Nuclei
    from wsi_nucssl.segment.engine import open_engine as open_engine
    from wsi_nucssl.segment.images import segment_image as segment_image
    from wsi_nucssl.segment.options import SegmentOptions as SegmentOptions
    from wsi_nucssl.segment.run import segment_slide as segment_slide
    from wsi_nucssl.slide import Canvas as Canvas
    from wsi_nucssl.slide import open_slide as open_slide
    from wsi_nucssl.slide import tissue_mask as tissue_mask
    from wsi_nucssl.tiles.ingest import TileConfig as TileConfig
    from wsi_nucssl.tiles.ingest import ingest as ingest
    from wsi_nucssl.tiles.store import TileStore as TileStore
    from wsi_nucssl.train.finetune import FinetuneJob as FinetuneJob
    from wsi_nucssl.train.finetune import finetune as finetune

_HOMES: Final = {
    "Box": "geometry",
    "Canvas": "slide",
    "FinetuneJob": "train.finetune",
    "InstanceConfig": "nuclei.instances",
    "Mpp": "geometry",
    "Nuclei": "nuclei.table",
    "Point": "geometry",
    "SegmentOptions": "segment.options",
    "Size": "geometry",
    "Split": "datasets",
    "TileConfig": "tiles.ingest",
    "TileStore": "tiles.store",
    "WsiNucsslError": "errors",
    "finetune": "train.finetune",
    "ingest": "tiles.ingest",
    "label_instances": "nuclei.instances",
    "load_model": "models.weights",
    "open_dataset": "datasets",
    "open_engine": "segment.engine",
    "open_slide": "slide",
    "segment_image": "segment.images",
    "segment_slide": "segment.run",
    "tissue_mask": "slide",
    "write_geojson": "export.geojson",
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
