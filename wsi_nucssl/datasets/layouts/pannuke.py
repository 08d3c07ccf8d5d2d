"""PanNuke: each fold is images.npy, masks.npy and types.npy (Gamper et al., arXiv:2003.10778)."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from wsi_nucssl.datasets.label_files import NPY_FAULTS
from wsi_nucssl.datasets.registry import Layout
from wsi_nucssl.datasets.sample import Dataset, Image, LabelImage, Sample, Shape, Types
from wsi_nucssl.errors import DatasetError

TYPES: Final = ("Neoplastic", "Inflammatory", "Connective", "Dead", "Epithelial")
"""masks.npy has a channel of instance ids for each type of nucleus, in this order, then one for the background."""
_CLASSES: Final = len(TYPES)


def open_pannuke(path: Path) -> Dataset | None:
    """A PanNuke fold, or a folder of folds; None if no images.npy lies below `path`.

    Images are called after the folder of their images.npy and their place in it: fold1-00042.
    """
    folds = sorted(path.rglob("images.npy"))
    if not folds:
        return None
    names = [fold.parent.name for fold in folds]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise DatasetError(
            f"two folds are called {twice}", path=path, remedy="Rename one, or open a folder with one of them"
        )
    samples = [sample for fold in folds for sample in _fold(fold)]
    return Dataset(path, "pannuke", tuple(sorted(samples, key=lambda sample: sample.id)), type_names=TYPES)


LAYOUT = Layout(open_pannuke)


def _fold(images: Path) -> list[Sample]:
    masks = _masks_of(images)
    count = _stack(images, (3,)).shape[0]
    if _stack(masks, (_CLASSES + 1,)).shape[0] != count:
        raise DatasetError(
            f"images.npy holds {count} images, this another number",
            path=masks,
            remedy="Take both files from the same fold",
        )
    return [
        Sample(
            id=f"{images.parent.name}-{index:05d}",
            organ=organ,
            source=masks,
            read_image=partial(_read_image, images, index),
            read_labels=partial(_read_labels, masks, index),
            read_types=partial(_read_types, masks, index),
        )
        for index, organ in enumerate(_organs(images.with_name("types.npy"), count))
    ]


def _masks_of(images: Path) -> Path:
    """The masks.npy beside images.npy, or at masks/fold1/ for images at images/fold1/, as published."""
    swapped = Path(*("masks" if part == "images" else part for part in images.parts[:-1]), "masks.npy")
    for masks in (images.with_name("masks.npy"), swapped):
        if masks.exists():
            return masks
    raise DatasetError(
        "no masks.npy belongs to these images", path=images, remedy=f"Put it there or at {swapped}"
    )


def _organs(types: Path, count: int) -> list[str | None]:
    """Lower-case organ of each image; PanNuke without its types.npy is fine, and has none."""
    if not types.exists():
        return [None] * count
    values = _load(types)
    if values.shape != (count,) or values.dtype.kind != "U":
        raise DatasetError(
            f"not {count} names of organs: shape {values.shape}, {values.dtype}",
            path=types,
            remedy="Take all files from the same fold",
        )
    return [str(value).lower() for value in values]


def _read_image(images: Path, index: int) -> Image:
    pixels = np.asarray(_stack(images, (3,))[index])
    if not (pixels.min() >= 0 and pixels.max() <= 255):  # nor NaN
        raise DatasetError(f"image {index} is not within 0 to 255", path=images, remedy="Download it again")
    return np.ascontiguousarray(pixels.astype(np.uint8))


def _read_labels(masks: Path, index: int, _shape: Shape) -> LabelImage:
    """Nuclei of all types in one label image, ids kept apart; the earlier type keeps an overlap."""
    return _labels_and_last_ids(masks, index)[0]


def _read_types(masks: Path, index: int) -> Types:
    """The type of each label: ids of a later type are greater than those of the ones before."""
    labels, last_ids = _labels_and_last_ids(masks, index)
    present = np.unique(labels[labels > 0])
    types = np.searchsorted(last_ids, present)
    return {int(label): TYPES[type_] for label, type_ in zip(present, types, strict=True)}


def _labels_and_last_ids(masks: Path, index: int) -> tuple[LabelImage, list[int]]:
    """The label image, and the greatest id that each type may have."""
    stored = np.asarray(_stack(masks, (_CLASSES + 1,))[index, ..., :_CLASSES])
    channels = stored.astype(np.int32)
    if not (stored.min() >= 0 and np.array_equal(stored, channels)):
        raise DatasetError(
            f"the masks of image {index} are not whole numbers from 0 on",
            path=masks,
            remedy="Download it again",
        )
    labels = np.zeros(channels.shape[:2], np.int32)
    offset, last_ids = 0, []
    for channel in np.moveaxis(channels, -1, 0):
        free = (channel > 0) & (labels == 0)
        labels[free] = channel[free] + offset
        offset += int(channel.max())
        last_ids.append(offset)
    return labels, last_ids


def _stack(path: Path, channels: tuple[int]) -> NDArray[Any]:
    """Memory map of (image, row, col, channel), so that one image costs one image."""
    stack = _load(path)
    if stack.ndim != 4 or stack.shape[3:] != channels or stack.dtype.kind not in "iuf":
        raise DatasetError(
            f"not (image, row, col, {channels[0]}) numbers: shape {stack.shape}, {stack.dtype}",
            path=path,
            remedy="Give PanNuke's own .npy files",
        )
    return stack


def _load(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = open_memmap(path, mode="r")
    except NPY_FAULTS as error:
        raise DatasetError(
            f"not a readable .npy array ({error})", path=path, remedy="Download it again"
        ) from error
    return array
