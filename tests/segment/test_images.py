"""An image in memory and the same px as a slide: the same bytes, at every resolution."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from tests.segment import fakes
from tests.segment.features import read_features
from wsi_nucssl.engines.base import BodyBoundary, Windows
from wsi_nucssl.errors import SlideError, UsageError
from wsi_nucssl.models.weights import Model
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.segment.images import (
    check_image,
    network_input,
    predict_image,
    segment_image,
    segment_typed_image,
)
from wsi_nucssl.segment.outputs import run_path
from wsi_nucssl.segment.region import segment as in_memory
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


@pytest.mark.parametrize("upscale", ARCHS)
@pytest.mark.parametrize(
    ("scale", "shape"), [(0.625, (208, 320)), (1, (130, 200)), (1.0000005, (130, 200)), (2, (65, 100))]
)
def test_planes_have_the_px_of_the_answer(
    tissue: RGB, upscale: int, scale: float, shape: tuple[int, int]
) -> None:
    engine = fakes.DarkIsNucleus(upscale=upscale)
    assert predict_image(engine, tissue[:130, :200], scale=scale).shape == (3, *shape)


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


@pytest.mark.parametrize(
    ("image", "remedy"),
    [
        ("picture.png", "numpy.asarray"),
        ([[[1, 2, 3]]], "numpy.asarray"),
        (np.zeros((5, 6), np.uint8), "numpy.dstack"),
        (np.zeros((5, 6, 1), np.uint8), "numpy.dstack"),
        (np.zeros((3, 6), np.uint8), "numpy.dstack"),
        (np.zeros((5, 6, 4), np.uint8), "image[..., :3]"),
        (np.zeros((3, 5, 6), np.uint8), "image.transpose(1, 2, 0)"),
        (np.zeros((5, 6, 3), np.float32), "multiplying what goes up to 1 by 255"),
        (np.zeros((5, 6, 2), np.uint8), "at least one px"),
        (np.zeros((0, 6, 3), np.uint8), "at least one px"),
        (np.zeros((5, 6, 3, 3), np.uint8), "at least one px"),
        (np.zeros((5, 6, 3, 3), np.float32), "at least one px"),
    ],
)
def test_what_is_no_image_is_refused_with_how_it_becomes_one(image: Any, remedy: str) -> None:
    with pytest.raises(UsageError, match="uint8 RGB of shape") as error:
        check_image(image)
    assert error.value.remedy is not None
    assert remedy in error.value.remedy
    check_image(np.zeros((1, 1, 3), np.uint8))


class LeftAndRight(fakes.DarkIsNucleus):
    """Sure of the first type in the left half of what it sees, of the second in the right half."""

    def predict(self, windows: Windows) -> BodyBoundary:
        planes = fakes.DarkIsNucleus.predict(self, windows)
        types = np.zeros_like(planes)
        half = planes.shape[3] // 2
        types[:, 0, :, :half] = types[:, 1, :, half:] = 255
        return np.concatenate([planes, types], axis=1)


def test_each_label_has_the_name_of_its_type() -> None:
    image = np.full((192, 256, 3), 230, np.uint8)
    for x, y in ((20, 20), (40, 100), (180, 30), (200, 120), (220, 160)):
        image[y : y + 16, x : x + 16] = 40
    config, engine = fakes.model().info.instances, LeftAndRight()
    labels, names = segment_typed_image(engine, image, config, ("left", "right"))
    assert np.array_equal(labels, segment_image(engine, image, config))
    assert labels.max() == 5
    for label, name in names.items():
        x = np.nonzero(labels == label)[1].mean()
        assert name == ("left" if x < 128 else "right")
    assert sorted(names) == [1, 2, 3, 4, 5]
    same, none = segment_typed_image(engine, image, config, ())
    assert np.array_equal(same, labels)
    assert none == {}


def test_the_result_of_an_image_says_which_and_how(double_model: Model, tissue: RGB) -> None:
    image, engine = tissue[:130, :200], fakes.DarkIsNucleus()
    result = in_memory(image, mpp=0.4, model=double_model, engine=engine)
    header = result.header
    assert header["slide"] == hashlib.sha256(b"(130, 200, 3)" + image.tobytes()).hexdigest()
    assert (header["slide_mpp"], header["batch_size"], header["model_mpp"]) == ([0.4, 0.4], 1, 0.25)
    assert header["engine"] == "double"
    assert result.labels.shape == (208, 320)  # 0.4 µm in px of 0.25
    for mpp in (0.76, 0.9):
        with pytest.raises(SlideError, match="enlarged"):
            in_memory(image, mpp=mpp, model=double_model, engine=engine)
        assert in_memory(image, mpp=mpp, force_mpp=True, model=double_model, engine=engine).labels.any()
