"""Annotated images as training takes them: in memory, at the network's mpp, with weights and what teachers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.datasets import DEFAULT_MPP, Dataset, Entry, Sample
from wsi_nucssl.mpp import same_mpp
from wsi_nucssl.train.crops import LabelledImage
from wsi_nucssl.train.targets import UNKNOWN_TYPE
from wsi_nucssl.train.teachers import Teachers


def read_images(
    dataset: Dataset,
    entries: Sequence[Entry],
    mpp: float,
    weights: Mapping[str, float] | None = None,
    teachers: Sequence[str] = (),
    upscale: int = 1,
    types: Sequence[str] = (),
) -> list[LabelledImage]:
    """The images of a side of a split, resampled to `mpp` µm per px.

    Parameters
    ----------
    weights : mapping of str to float, optional
        How often a px of the dataset of that name is seen, relative to others.
    teachers : sequence of str
        Models that say what they see in each image.
    upscale : int
        Of the network, see `ResUNet.upscale`. An image at the mpp that the network sees is enlarged by repeating its
        px: halved again, it is itself.
    types : sequence of str
        Names of the types of nuclei to learn, in the order of the network's; none by default.

    Raises
    ------
    DatasetError
        An image or its labels cannot be read.
    WeightsError
        A teacher cannot be read, or answers at another mpp.
    """
    taught = Teachers.load(teachers, mpp) if teachers else None
    return [
        _read(dataset[entry.id], entry.image_sha256, mpp, weights or {}, taught, upscale, types)
        for entry in entries
    ]


def _read(
    sample: Sample,
    sha256: str,
    mpp: float,
    weights: Mapping[str, float],
    teachers: Teachers | None,
    upscale: int,
    types: Sequence[str],
) -> LabelledImage:
    """An image whose px weigh as its own did: enlarging it does not make it more."""
    own = sample.mpp or DEFAULT_MPP
    if upscale > 1 and same_mpp(own, upscale * mpp):
        image, labels = sample.pair()
        image = image.repeat(upscale, axis=0).repeat(upscale, axis=1)
        labels = labels.repeat(upscale, axis=0).repeat(upscale, axis=1)
    else:
        image, labels = sample.pair_at(mpp)
    return LabelledImage(
        sample.id,
        image,
        labels,
        sample.stains,
        weights.get(sample.dataset, 1.0) / (own / mpp) ** 2,
        taught_planes(teachers, image, labels, sha256) if teachers else None,
        _type_table(sample, types) if types else None,
    )


def _type_table(sample: Sample, names: Sequence[str]) -> NDArray[np.uint8]:
    """The type of each label id by its place among `names`, uint8 (largest id of a known type + 1,)."""
    known = {label: names.index(name) for label, name in sample.types().items() if name in names}
    table = np.full(max(known, default=0) + 1, UNKNOWN_TYPE, np.uint8)
    for label, place in known.items():
        table[label] = place
    return table


def taught_planes(
    teachers: Teachers, image: NDArray[np.uint8], labels: NDArray[np.int32], sha256: str
) -> NDArray[np.uint8]:
    """P(body), P(boundary) in 255ths (2, row, col); none where the labels say that there is no nucleus.

    An image without a nucleus is a hard negative: what teachers find there is what it is there to unteach.
    """
    return teachers.predict(image, sha256) if labels.any() else np.zeros((2, *labels.shape), np.uint8)
