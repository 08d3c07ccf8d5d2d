"""An image in memory and the same px as a slide: the same bytes, at every resolution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from tests.segment import fakes
from tests.segment.features import read_features
from wsi_nucssl.models.weights import Model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.segment.images import network_input, predict_image, segment_image
from wsi_nucssl.segment.outputs import run_path
from wsi_nucssl.segment.run import Steps
from wsi_nucssl.segment.summary import SegmentSummary
from wsi_nucssl.slide import RGB, TissueMask

ARCHS = {1: "resunet18", 2: "liteunet0x2"}


@pytest.fixture(scope="module")
def models() -> dict[int, Model]:
    return {upscale: fakes.model(arch) for upscale, arch in ARCHS.items()}


@pytest.mark.parametrize("upscale", ARCHS)
@pytest.mark.parametrize("mpp", [0.25, 0.19, 0.2500001])
@pytest.mark.parametrize("shape", [(2, 3), (33, 97), (1025, 700)])
def test_an_image_is_what_it_is_as_a_slide(
    segment: Callable[..., SegmentSummary],
    tissue: RGB,
    tmp_path: Path,
    models: dict[int, Model],
    upscale: int,
    mpp: float,
    shape: tuple[int, int],
) -> None:
    steps = Steps(tissue_mask=lambda slide, _: TissueMask.everywhere(slide))
    image = np.tile(tissue, (2, 1, 1))[: shape[0], : shape[1]]
    slide = fakes.write_slide(tmp_path / "image.tif", image)
    model = models[upscale]
    output = tmp_path / "n.geojson"
    summary = segment(
        slide,
        output,
        model=model,
        mpp=mpp,
        force_mpp=True,
        block_px=300,
        keep_probabilities=True,
        steps=steps,
    )
    kept = zarr.open_array(run_path(output) / "probabilities.zarr", mode="r")[:]
    engine = fakes.DarkIsNucleus(upscale=upscale)
    scale = 0.25 / mpp
    assert np.array_equal(predict_image(engine, image, scale=scale), kept)
    labels = segment_image(engine, image, model.info.instances, scale=scale)
    assert summary.nuclei == len(read_features(output)) == labels.max()
    if scale == 1:
        assert labels.shape == image.shape[:2]


def test_what_the_network_sees_covers_the_image(tissue: RGB) -> None:
    assert network_input(tissue, 1) is tissue
    assert network_input(tissue[:7, :8], 2).shape == (4, 4, 3)
    assert network_input(tissue[:7, :8], 0.5).shape == (14, 16, 3)
    flat = np.full((31, 17, 3), 200, np.uint8)
    assert (network_input(flat, 2) == 200).all()


def test_a_nucleus_keeps_its_place_and_size(tissue: RGB) -> None:
    """Seen at half the resolution, a square is found where it lies, to the px."""
    image = np.full_like(tissue, 230)
    image[300:340, 402:450] = 40
    config = InstanceConfig(regrow_px=4)
    for upscale in ARCHS:
        labels = segment_image(fakes.DarkIsNucleus(upscale=upscale), image, config)
        rows, cols = np.nonzero(labels)
        assert labels.max() == 1
        assert abs(rows.mean() - 319.5) < 0.3
        assert abs(cols.mean() - 425.5) < 0.3
        assert 0.8 < len(rows) / (40 * 48) < 1.2
