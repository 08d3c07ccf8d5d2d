"""Annotated images as training takes them: in memory, at the network's mpp, with weights and what teachers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from wsi_nucssl.datasets import Dataset, Entry
from wsi_nucssl.datasets.mpp import same_mpp
from wsi_nucssl.train.crops import LabelledImage
from wsi_nucssl.train.teachers import Teachers


def read_images(
    dataset: Dataset,
    entries: Sequence[Entry],
    mpp: float,
    weights: Mapping[str, float] | None = None,
    teachers: Sequence[str] = (),
    upscale: int = 1,
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

    Raises
    ------
    DatasetError
        An image or its labels cannot be read.
    WeightsError
        A teacher cannot be read, or answers at another mpp.
    """
    images = [_read(dataset, entry.id, mpp, weights or {}, upscale) for entry in entries]
    if not teachers:
        return images
    taught = Teachers.load(teachers, mpp)
    return [
        replace(image, teacher=taught.predict(image.image, entry.image_sha256))
        for image, entry in zip(images, entries, strict=True)
    ]


def _read(
    dataset: Dataset, name: str, mpp: float, weights: Mapping[str, float], upscale: int
) -> LabelledImage:
    """An image whose px weigh as its own did: enlarging it does not make it more."""
    sample = dataset[name]
    image, labels = sample.pair_at(mpp)
    if upscale > 1 and same_mpp(sample.mpp or mpp, upscale * mpp):
        image = (
            sample.image().repeat(upscale, axis=0).repeat(upscale, axis=1)[: len(labels), : labels.shape[1]]
        )
    enlarged = (sample.mpp or mpp) / mpp
    weight = weights.get(sample.dataset, 1.0) / enlarged**2
    return LabelledImage(name, image, labels, sample.stains, weight)
