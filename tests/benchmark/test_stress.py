"""Each perturbation does what its name says, the same each time, and to the labels what it does to the image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.train.tiny import scene
from wsi_nucssl.benchmark.stress import FRAME_PX, PERTURBATIONS, Perturbation, Scene
from wsi_nucssl.nuclei.stain_vectors import stain_vectors

DOCS = Path(__file__).parents[2] / "docs" / "benchmark.md"
FRAMES = {"white-frame", "black-frame"}
GEOMETRIC = {*FRAMES, "rotation-90", "mpp-0.9", "mpp-1.1"}


@pytest.fixture(scope="module")
def pair() -> tuple[np.ndarray, np.ndarray]:
    image, labels = scene(3)
    return image[:90, :83], labels[:90, :83].astype(np.int32)


def of(name: str, pair: tuple[np.ndarray, np.ndarray], sample_id: str = "a") -> Scene:
    return PERTURBATIONS[name](sample_id, *pair)


@pytest.mark.parametrize("each", PERTURBATIONS.values(), ids=PERTURBATIONS)
def test_a_scene_is_whole_and_leaves_its_source_alone(
    each: Perturbation, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    before = [part.copy() for part in pair]
    made, again = each("a", *pair), each("a", *pair)
    np.testing.assert_array_equal(made.image, again.image)
    np.testing.assert_array_equal(made.true, again.true)
    assert (made.image.dtype, made.image.shape[2], made.true.dtype) == (
        np.dtype(np.uint8),
        3,
        np.dtype(np.int32),
    )
    assert made.image[made.scored.rc].shape[:2] == made.true.shape
    assert made.image.flags.c_contiguous
    for part, original in zip(pair, before, strict=True):
        np.testing.assert_array_equal(part, original)
    assert f"| `{each.name}` | {each.help}" in DOCS.read_text()


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_image_changes_and_labels_only_with_geometry(
    name: str, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    made = of(name, pair)
    assert made.image.shape != pair[0].shape or not np.array_equal(made.image, pair[0])
    if name not in GEOMETRIC - FRAMES:
        np.testing.assert_array_equal(made.true, pair[1])


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_a_frame_surrounds_the_image_untouched(name: str, pair: tuple[np.ndarray, np.ndarray]) -> None:
    made = of(name, pair)
    np.testing.assert_array_equal(made.image[made.scored.rc], pair[0])
    assert made.image.shape[:2] == tuple(side + 2 * FRAME_PX for side in pair[1].shape)
    around = np.ones(made.image.shape[:2], bool)
    around[made.scored.rc] = False
    frame = made.image[around]
    if name == "black-frame":
        assert not frame.any()
    else:
        assert frame.min() > 230
        assert not np.array_equal(frame, of(name, pair, "b").image[around])


def test_rotation_is_exact_and_undone_by_turning_back(pair: tuple[np.ndarray, np.ndarray]) -> None:
    made = of("rotation-90", pair)
    np.testing.assert_array_equal(np.rot90(made.image, -1), pair[0])
    np.testing.assert_array_equal(np.rot90(made.true, -1), pair[1])


@pytest.mark.parametrize(("name", "factor"), [("mpp-0.9", 0.9), ("mpp-1.1", 1.1)])
def test_a_wrong_mpp_scales_labels_to_the_nearest_pixel(
    name: str, factor: float, pair: tuple[np.ndarray, np.ndarray]
) -> None:
    made = of(name, pair)
    rows, cols = pair[1].shape
    height, width = round(rows * factor), round(cols * factor)
    assert made.true.shape == made.image.shape[:2] == (height, width)
    for row in range(height):
        for col in range(width):
            y, x = (row + 0.5) * rows / height, (col + 0.5) * cols / width
            assert made.true[row, col] == pair[1][int(y), int(x)]
    dark, background = made.image[made.true > 0].mean(), made.image[made.true == 0].mean()
    assert dark < 130 < 190 < background  # image and labels still lie on each other


@pytest.mark.parametrize("gain", [0.7, 1.3])
@pytest.mark.parametrize(("name", "stain"), [("hematoxylin", 0), ("eosin", 1)])
def test_one_stain_is_scaled_in_optical_density_and_the_other_left(
    name: str, stain: int, gain: float
) -> None:
    densities = np.stack(np.meshgrid(*[np.linspace(0.1, 0.6, 8)] * 2), axis=-1)
    stained = np.concatenate([densities, np.zeros((8, 8, 1))], axis=-1)
    image = np.rint(255 * 10 ** -(stained @ stain_vectors())).astype(np.uint8)
    made = of(f"{name}-{gain}", (image, np.zeros((8, 8), np.int32)))
    expected = densities.copy()
    expected[..., stain] *= gain
    found = -np.log10(made.image / 255) @ np.linalg.inv(stain_vectors())
    np.testing.assert_allclose(found[..., :2], expected, atol=0.025)


def test_brightness_multiplies_and_stops_at_white() -> None:
    image = np.array([[[0, 100, 255], [10, 240, 33]]], np.uint8)
    for name, gain in (("brightness-0.9", 0.9), ("brightness-1.1", 1.1)):
        made = of(name, (image, np.zeros((1, 2), np.int32)))
        for before, after in zip(image.ravel().tolist(), made.image.ravel().tolist(), strict=True):
            assert after == min(255, round(before * gain))


@pytest.mark.parametrize("name", ["half-resolution", "blur", "jpeg-60"])
def test_what_takes_detail_away_keeps_the_mean(name: str, pair: tuple[np.ndarray, np.ndarray]) -> None:
    made = of(name, pair)
    assert abs(made.image.mean() - pair[0].mean()) < 1
    still = np.full((40, 40, 3), 120, np.uint8)
    np.testing.assert_allclose(of(name, (still, np.zeros((40, 40), np.int32))).image, still, atol=1)
    if name != "jpeg-60":
        noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3)).astype(np.uint8)
        assert of(name, (noise, np.zeros((40, 40), np.int32))).image.std() < 0.7 * noise.std()
