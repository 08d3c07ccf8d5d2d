from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from wsi_nucssl.errors import MissingMpp, OutputExists, SomeSlidesFailed, UsageError
from wsi_nucssl.locations import Location
from wsi_nucssl.pretext.weights import PretextInfo, build_pretext, save_pretext
from wsi_nucssl.probe.density import CELL_PX, draw_density, overlay, slide_density
from wsi_nucssl.slide import open_slide


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    info = PretextInfo("triplet-rank", "resnet18", 1.0, 96)
    folder = tmp_path_factory.mktemp("run")
    save_pretext(folder / "pretext.safetensors", build_pretext(info), info)
    return folder


def draw(run: Path, inputs: Sequence[Path], folder: Path, **how: Any) -> list[Path]:
    """The pictures that were drawn; failures are ignored."""
    pictures: list[Path] = []
    how = {"on_failure": lambda _path, _error: None, **how}
    draw_density(run, inputs, folder, on_picture=pictures.append, **how)
    return pictures


def test_an_image_gets_a_line_for_each_pair(run: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 240, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "image.png"), image)
    (picture,) = draw(run, [tmp_path / "image.png"], tmp_path / "out", pairs=2)
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    assert drawn.shape[1] == 4 * 104
    assert drawn.shape[0] > 2 * 104  # title and colour bar


def test_an_image_in_a_slides_place_leaves_none_of_the_slides_files(run: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 240, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    for ending in ("png", "npy", "geojson"):
        (tmp_path / f"a_density.{ending}").write_text("of a slide")
    with pytest.raises(OutputExists):
        draw(run, [tmp_path / "a.png"], tmp_path, pairs=1)
    assert draw(run, [tmp_path / "a.png"], tmp_path, pairs=1, overwrite=True)
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "a_density.png"}


def test_a_slide_gets_a_heat_map_of_its_own_shape(run: Path, cmu_slide: Path, tmp_path: Path) -> None:
    (picture,) = draw(run, [cmu_slide], tmp_path)
    density = np.load(picture.with_suffix(".npy"))
    with open_slide(cmu_slide) as slide:
        height, width = (round(side * 0.499) for side in slide.dimensions.shape_rc)
    assert density.shape == (-(-height // CELL_PX), -(-width // CELL_PX))
    assert np.isfinite(density).mean() > 0.2
    assert np.isnan(density).mean() > 0.2
    drawn = cv2.imread(str(picture))
    assert drawn is not None
    assert drawn.shape[1] == pytest.approx(1600 * width / height, abs=2)
    assert 1600 < drawn.shape[0] < 1800  # title and bars


def test_density_is_written_as_tiles_that_lie_where_the_values_are(
    run: Path, cmu_slide: Path, tmp_path: Path
) -> None:
    (picture,) = draw(run, [cmu_slide], tmp_path)
    density = np.load(picture.with_suffix(".npy"))
    features = json.loads(picture.with_suffix(".geojson").read_text())["features"]
    known = np.argwhere(np.isfinite(density))
    assert len(features) == len(known)
    assert {each["properties"]["objectType"] for each in features} == {"tile"}
    assert len({each["id"] for each in features}) == len(features)
    step = 32 / 0.499
    for (row, col), feature in list(zip(known.tolist(), features, strict=True))[::97]:
        ring = np.array(feature["geometry"]["coordinates"][0])
        assert ring.min(axis=0) == pytest.approx([col * step, row * step], abs=0.01)
        assert feature["properties"]["measurements"]["Density score"] == pytest.approx(
            density[row, col], abs=1e-5
        )


def mean_of_cells(_model: object, image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Stands for a density map: the mean grey value of each cell."""
    rows, cols = (-(-side // CELL_PX) for side in image.shape[:2])
    missing = ((0, rows * CELL_PX - image.shape[0]), (0, cols * CELL_PX - image.shape[1]))
    cells = np.pad(image.mean(axis=2), missing, mode="edge").reshape(rows, CELL_PX, cols, CELL_PX)
    means: NDArray[np.float32] = cells.mean(axis=(1, 3)).astype(np.float32)
    return means


def test_tiles_do_not_show_in_a_slides_density(cmu_slide: Path) -> None:
    with open_slide(cmu_slide) as slide:
        tiled = slide_density(None, slide, 0.499, density_map=mean_of_cells)  # type: ignore[arg-type]
        whole = mean_of_cells(None, slide.read_level(0, slide.bounds))
    known = np.isfinite(tiled)
    known[-1], known[:, -1] = False, False  # cells cut by the slide's edge
    assert np.array_equal(tiled[known], whole[: tiled.shape[0], : tiled.shape[1]][known])


def test_no_density_leaves_the_image_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    density = np.array([[np.nan, np.nan], [0.0, 1.0]], np.float32)
    drawn = overlay(image, density, 0.0, 1.0)
    assert np.array_equal(drawn[:32], image[:32])
    assert not np.array_equal(drawn[32:], image[32:])


def test_a_slide_without_mpp_wants_one(run: Path, tcga_slide: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingMpp, match="`mpp`"):
        draw(run, [tcga_slide], tmp_path)


def test_one_bad_input_does_not_stop_the_others(run: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 240, 3), np.uint8)
    good = tmp_path / "good.png"
    cv2.imwrite(str(good), image)
    bad = tmp_path / "bad.png"
    bad.write_bytes(good.read_bytes()[:200])
    pictures: list[Path] = []
    failed: list[Location] = []
    with pytest.raises(SomeSlidesFailed, match=r"1 of 2 [^/]*\n.*bad\.png"):
        draw_density(
            run,
            [bad, good],
            tmp_path / "out",
            pairs=1,
            on_picture=pictures.append,
            on_failure=lambda path, _error: failed.append(path),
        )
    assert failed == [bad]
    assert pictures == [tmp_path / "out" / "good_density.png"]


def test_no_picture_replaces_another_unasked(run: Path, tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 240, 3), np.uint8)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "image.png"), image)
    inputs = [tmp_path / "a" / "image.png", tmp_path / "b" / "image.png"]
    with pytest.raises(UsageError, match="same file"):
        draw(run, inputs, tmp_path / "out")
    draw(run, inputs[:1], tmp_path / "out", pairs=1)
    with pytest.raises(OutputExists, match="`overwrite`"):
        draw(run, inputs[:1], tmp_path / "out", pairs=1)
    draw(run, inputs[:1], tmp_path / "out", pairs=1, overwrite=True)


def test_a_device_that_is_not_there_is_refused(run: Path, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(UsageError, match="no CUDA device"):
        draw(run, [tmp_path / "image.png"], tmp_path, device="cuda")
