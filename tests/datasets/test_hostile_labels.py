"""Label files that state absurd sizes, or are damaged anywhere: an error by name, and no memory taken."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.lib.format import write_array_header_1_0, write_array_header_2_0
from scipy.io import savemat

from wsi_nucssl.datasets.label_files import read_labels
from wsi_nucssl.errors import DatasetError

SHAPE = (60, 80)


@pytest.fixture
def labels() -> np.ndarray:
    image = np.zeros(SHAPE, np.int32)
    image[5:15, 5:15], image[30:50, 40:60] = 1, 2
    return image


@pytest.mark.parametrize("version", [1, 2])
def test_a_npy_that_states_more_than_the_image_takes_no_memory(tmp_path: Path, version: int) -> None:
    path = tmp_path / "labels.npy"
    header = {"descr": "<i4", "fortran_order": False, "shape": (100_000, 100_000)}
    with path.open("wb") as file:
        (write_array_header_1_0 if version == 1 else write_array_header_2_0)(file, header)
        file.write(bytes(64))
    tracemalloc.start()
    with pytest.raises(DatasetError, match=r"labels\.npy.*100000 × 100000 px, the image has 80 × 60"):
        read_labels(path, SHAPE)
    assert tracemalloc.get_traced_memory()[1] < 1 << 24
    tracemalloc.stop()


def test_a_tiff_that_states_more_than_the_image_is_not_decoded(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    tifffile.imwrite(path, np.zeros(SHAPE, np.uint16), compression="zlib")
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages.first.tags["ImageWidth"].overwrite(70_000)
        file.pages.first.tags["ImageLength"].overwrite(60_000)
    with pytest.raises(DatasetError, match="70000 × 60000 px, the image has 80 × 60"):
        read_labels(path, SHAPE)


def test_a_mat_is_what_was_saved(tmp_path: Path, labels: np.ndarray) -> None:
    path = tmp_path / "labels.mat"
    savemat(path, {"inst_map": labels.astype(float), "other": np.ones(3)}, do_compression=True)
    np.testing.assert_array_equal(read_labels(path, SHAPE), labels)


def test_a_mat_of_many_ids_is_refused_before_it_is_handed_over(tmp_path: Path) -> None:
    path = tmp_path / "labels.mat"
    savemat(path, {"inst_map": np.zeros((5000, 5000), np.uint8)}, do_compression=True)
    with pytest.raises(DatasetError, match=r"labels\.mat.*more than the image has pixels"):
        read_labels(path, SHAPE)


@pytest.mark.parametrize("suffix", [".mat", ".npy", ".tif"])
def test_damage_anywhere_is_labels_or_an_error_by_name(
    tmp_path: Path, labels: np.ndarray, suffix: str
) -> None:
    whole = tmp_path / f"whole{suffix}"
    if suffix == ".mat":
        savemat(whole, {"inst_map": labels})
    elif suffix == ".npy":
        np.save(whole, labels)
    else:
        tifffile.imwrite(whole, labels.astype(np.uint16), compression="zlib")
    data, path, refused = whole.read_bytes(), tmp_path / f"damaged{suffix}", 0
    for seed in range(12 if suffix == ".mat" else 60):
        rng = random.Random(seed)
        spoilt = bytearray(data[: rng.choice([len(data), rng.randrange(len(data))])])
        for _ in range(rng.randint(1, 4)):
            if spoilt:
                spoilt[rng.randrange(min(len(spoilt), 400))] = rng.randrange(256)
        path.write_bytes(spoilt)
        try:
            read_labels(path, SHAPE)
        except DatasetError as error:
            assert str(path) in str(error)  # noqa: PT017
            refused += 1
    assert refused > 3
