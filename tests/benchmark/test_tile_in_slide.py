"""The AJI that the benchmark gives a tile is the AJI of that tile segmented as a slide."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
import torch

from tests.benchmark.test_predictions import same_partition
from wsi_nucssl.benchmark.predictors import Network
from wsi_nucssl.datasets import open_dataset
from wsi_nucssl.datasets.geojson_labels import read_geojson_labels
from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.engines.torch_engine import TorchEngine
from wsi_nucssl.metrics import aji
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.weights import Model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.segment.run import segment_slide

CONFIG = InstanceConfig(body=0.35, foreground=0.3, regrow_px=3)


class Darkness:
    """An engine that takes dark pixels for nuclei: fast, and as rough as tissue is."""

    name = "darkness"
    streams = 2
    batch_px = 0
    upscale = 1

    def predict(self, windows: Windows) -> BodyBoundary:
        red = np.stack([cv2.GaussianBlur(window[..., 0], (0, 0), 2) for window in windows])
        body = np.clip((150 - red.astype(np.int16)) * 3, 0, 255).astype(np.uint8)
        return np.stack([body, (255 - body) // 3], axis=1)


def model(config: InstanceConfig = CONFIG) -> Model:
    return Model(
        ModelInfo("tiny", "resunet18", 0.25, config),
        "0" * 64,
        Path("tiny.safetensors"),
    )


def write_slide(path: Path, pixels: np.ndarray, mpp: float = 0.25) -> Path:
    """A tiled, losslessly compressed TIFF."""
    tifffile.imwrite(
        path,
        pixels,
        tile=(256, 256),
        photometric="rgb",
        compression="deflate",
        resolution=(10_000 / mpp, 10_000 / mpp),
        resolutionunit="CENTIMETER",
    )
    return path


def test_a_real_tile_scores_the_same_inside_a_slide(monuseg: Path, tmp_path: Path) -> None:
    dataset = open_dataset(monuseg)
    sample = dataset[dataset.ids[3]]
    image, true = sample.pair()
    engine = Darkness()
    in_benchmark = Network(model(), engine).label_image(sample.id, image, 0.25)
    slide = write_slide(tmp_path / "slide.tif", image)
    output = tmp_path / "slide.geojson"
    summary = segment_slide(slide, output, model(), SegmentOptions(block_px=300), engine=engine)
    in_slide = read_geojson_labels(output, true.shape)
    assert summary.nuclei == in_benchmark.max() > 100
    assert same_partition(in_slide, in_benchmark)
    assert aji(true, in_slide) == aji(true, in_benchmark) > 0.1


def test_a_network_does_the_same_in_both(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    coarse = rng.integers(40, 220, (20, 24, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (300, 260), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    torch.manual_seed(0)
    engine = TorchEngine(build("resunet18"), torch.device("cpu"))
    body = engine.predict(image[None, :256, :256])[0, 0] / 255
    loose = InstanceConfig(
        body=float(np.quantile(body, 0.7)), foreground=float(np.quantile(body, 0.6)), min_area_px=4
    )
    labels = Network(model(loose), engine).label_image("x", image, 0.25)
    slide = write_slide(tmp_path / "slide.tif", image)
    segment_slide(slide, tmp_path / "slide.geojson", model(loose), SegmentOptions(), engine=engine)
    assert labels.max() >= 1
    assert same_partition(read_geojson_labels(tmp_path / "slide.geojson", labels.shape), labels)


@pytest.mark.parametrize("mpp", [0.5, 0.4, 0.125])
def test_an_image_of_another_resolution_is_seen_at_the_models(mpp: float, tmp_path: Path) -> None:
    """Its nuclei are those of the same pixels as a slide, on the image's own px."""
    rng = np.random.default_rng(1)
    image = cv2.resize(rng.integers(40, 220, (12, 15, 3)).astype(np.uint8), (240, 200)).astype(np.uint8)
    labels = Network(model(), Darkness()).label_image("x", image, mpp)
    assert labels.shape == (200, 240)
    slide = write_slide(tmp_path / "slide.tif", image, mpp)
    summary = segment_slide(slide, tmp_path / "slide.geojson", model(), SegmentOptions(), engine=Darkness())
    assert summary.nuclei == len(np.unique(labels)) - 1 > 3
    in_slide = read_geojson_labels(tmp_path / "slide.geojson", labels.shape)
    assert aji(in_slide, labels) > 0.9
