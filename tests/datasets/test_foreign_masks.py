"""Masks that hold no ids, or ids that began again, and files that state absurd sizes, are named."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from wsi_nucssl.datasets.label_files import read_labels
from wsi_nucssl.errors import DatasetError, InputError


def many() -> np.ndarray:
    labels = np.zeros((400, 400), np.int32)
    cells = labels.reshape(40, 10, 40, 10)
    cells[:, 2:8, :, 2:8] = np.arange(1, 1601).reshape(40, 1, 40, 1)
    return labels


@pytest.mark.parametrize(("modulus", "what"), [(256, "begun again"), (0, "mask of 0 and 1")])
def test_ids_that_are_none_are_noticed(tmp_path: Path, modulus: int, what: str) -> None:
    values = many() % modulus if modulus else many() > 0
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(values.astype(np.uint8)))
    with pytest.raises(DatasetError, match=what):
        read_labels(path, values.shape)


def test_true_ids_pass(tmp_path: Path) -> None:
    few = np.where(many() <= 255, many(), 0).astype(np.uint8)
    for values in (many().astype(np.uint16), few, (many() == 7).astype(np.uint8)):
        path = tmp_path / "a.png"
        path.write_bytes(imagecodecs.png_encode(values))
        np.testing.assert_array_equal(read_labels(path, values.shape), values)


def test_a_png_is_not_decoded_to_more_than_the_image_can_have(tmp_path: Path) -> None:
    body = struct.pack(">IIBBBBB", 60_000, 60_000, 16, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + b"IHDR" + body + struct.pack(">I", zlib.crc32(b"IHDR" + body))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + chunk)
    with pytest.raises(DatasetError, match="it states 60000 × 60000 px"):
        read_labels(tmp_path / "a.png", (10, 10))


@pytest.mark.parametrize("ending", [".png", ".npy", ".mat"])
def test_a_pipe_is_refused_at_once(tmp_path: Path, ending: str) -> None:
    os.mkfifo(tmp_path / f"a{ending}")
    with pytest.raises(InputError, match="no regular file"):
        read_labels(tmp_path / f"a{ending}", (10, 10))
