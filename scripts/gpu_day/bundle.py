"""The folder that travels: annotated images, splits, weights and recipes, read with numpy and Pillow alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsi_nucssl.errors import InputError
from wsi_nucssl.train.crops import LabelledImage

INDEX: Final = "bundle.json"
MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened folder.

    Attributes
    ----------
    path : Path
        The folder.
    content : mapping
        What its `bundle.json` holds.
    """

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read the index of a folder that `pack` wrote.

        Raises
        ------
        InputError
            It is none, or damaged.
        """
        try:
            return cls(path, json.loads((path / INDEX).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(
                f"not a folder that pack wrote ({error})", path=path, remedy="Give --data FOLDER"
            ) from error

    def images(self, ids: Sequence[str], upscale: int = 1) -> list[LabelledImage]:
        """The images of these ids, each checked against its hash, as `train.images.read_images` gives them.

        Parameters
        ----------
        upscale : int
            Of the network that is trained: of an image at the mpp that it sees, px are repeated.

        Raises
        ------
        InputError
            A file is missing or damaged.
        """
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda name: self._image(name, self.content["images"][name], upscale), ids))

    def _image(self, name: str, entry: Mapping[str, Any], upscale: int) -> LabelledImage:
        image: NDArray[np.uint8] = self._pixels(entry["image"], entry["image_sha256"], np.uint8)
        labels = self._pixels(entry["labels"], entry["labels_sha256"], np.uint16).astype(np.int32)
        if 1 < upscale == entry["whole"]:
            image = image.repeat(upscale, axis=0).repeat(upscale, axis=1)
            labels = labels.repeat(upscale, axis=0).repeat(upscale, axis=1)
        elif entry["enlarged"]:
            rows, cols = (Filter.of(self.content["filters"][key]) for key in entry["enlarged"])
            image, labels = enlarged(image, labels, rows, cols)
        return LabelledImage(name, image, labels, entry["stains"], entry["weight"])

    def teacher(self, name: str) -> NDArray[np.uint8]:
        """P(body) and P(boundary) in 255ths that the packed teachers give an image, in steps of 17, (2, row, col).

        Raises
        ------
        InputError
            The file is missing or damaged.
        """
        entry = self.content["images"][name]
        pixels = self._pixels(entry["teacher"], entry["teacher_sha256"], np.uint8)
        return unpacked_planes(pixels)

    def _pixels(self, file: str, sha256: str, kind: type[np.uint8 | np.uint16]) -> NDArray[Any]:
        path = self.path / file
        try:
            with Image.open(path) as opened:
                pixels = np.array(opened).astype(kind)
        except OSError as error:
            raise InputError(f"cannot be read ({error})", path=path, remedy="Pack again") from error
        if hash_of(pixels) != sha256:
            raise InputError("its pixels are not those that were packed", path=path, remedy="Pack again")
        return pixels

    def split(self, name: str) -> dict[str, Any]:
        """The split of that name: as `Split` in JSON, with hashes.

        Raises
        ------
        InputError
            None of that name was packed.
        """
        return self._named("splits", name)

    def recipe(self, name: str) -> dict[str, Any]:
        """The recipe of that name, every default filled in.

        Raises
        ------
        InputError
            None of that name was packed.
        """
        return self._named("recipes", name)

    def encoder(self, name: str) -> Path | None:
        """The packed weights of that encoder; None where there are none."""
        file = self.content["encoders"].get(name)
        return None if file is None else self.path / file

    def _named(self, kind: str, name: str) -> dict[str, Any]:
        known = self.content[kind]
        if name not in known:
            raise InputError(
                f"{name!r} is not among the packed {kind}",
                path=self.path / INDEX,
                remedy=f"Choose one of {', '.join(known)}",
            )
        return dict(known[name])


def ids_of(side: Sequence[Mapping[str, Any]]) -> list[str]:
    """The ids of a side of a split."""
    return [entry["id"] for entry in side]


_STEP: Final = 17
"""Between the 16 values that packed probabilities have: finer ones would take as much room as the images."""


def packed_planes(planes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """P(body) and P(boundary), uint8 (2, row, col), as a grey picture (row, col, 3), four bits each."""
    body, boundary = np.rint(planes / _STEP).astype(np.uint8)
    return np.repeat((body << 4 | boundary)[:, :, None], 3, axis=2)


def unpacked_planes(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What `packed_planes` packed, rounded to steps of 17."""
    both = picture[:, :, 0]
    return np.stack([both >> 4, both & 15]) * np.uint8(_STEP)


def hash_of(pixels: NDArray[Any]) -> str:
    """SHA-256 of pixels as they are stored."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Filter:
    """How an axis is enlarged, as `resample.triangle_taps` and `resample_labels` say.

    Attributes
    ----------
    first : ndarray
        (n,), first source pixel of each output pixel.
    weights : ndarray
        int32 (n, k), in 2⁻¹⁴.
    nearest : ndarray
        (n,), nearest source pixel.
    """

    first: NDArray[np.int64]
    weights: NDArray[np.int32]
    nearest: NDArray[np.int64]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From JSON."""
        return cls(
            np.asarray(values["first"], np.int64),
            np.asarray(values["weights"], np.int32),
            np.asarray(values["nearest"], np.int64),
        )


def enlarged(
    image: NDArray[np.uint8], labels: NDArray[np.int32], rows: Filter, cols: Filter
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Image and labels at a finer mpp: the bytes of `Sample.pair_at`, whose loops need a compiler."""
    lines = (_weighted(image.astype(np.int32), rows) + (1 << 5)) >> 6
    columns = _weighted(lines.transpose(1, 0, 2), cols).transpose(1, 0, 2)
    return ((columns + (1 << 21)) >> 22).astype(np.uint8), labels[np.ix_(rows.nearest, cols.nearest)]


def _weighted(lines: NDArray[np.int32], taps: Filter) -> NDArray[np.int32]:
    """Sums of neighbouring lines (row, …): out[i] = Σ_k weights[i, k] · lines[first[i] + k]."""
    total = np.zeros((len(taps.first), *lines.shape[1:]), np.int32)
    for tap in range(taps.weights.shape[1]):
        total += taps.weights[:, tap, None, None] * lines[taps.first + tap]
    return total
