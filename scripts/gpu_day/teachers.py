"""Weights of earlier runs as teachers of a later one, each image by those that were not trained on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from scripts.gpu_day.bundle import Bundle
from scripts.gpu_day.check import Planes, fastest, predict
from scripts.gpu_day.slices import joined, read_index
from wsi_nucssl.errors import InputError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.train.crops import LabelledImage


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """A network that `finetune` shipped.

    Attributes
    ----------
    sha256 : str
        Of its weights file.
    network : ResUNet
        Itself.
    seen : frozenset of str
        Ids of the images that it was trained on.
    """

    sha256: str
    network: ResUNet
    seen: frozenset[str]

    @classmethod
    def load(cls, index: Path) -> Self:
        """Read what NAME.json lists.

        Raises
        ------
        InputError
            It lists no parts, or one is missing or damaged.
        WeightsError
            They are no model.
        """
        whole = index.with_suffix(".teacher")
        write_atomic(whole, joined(index))
        try:
            model = load_model(whole)
            seen = frozenset(entry["id"] for entry in model.info.provenance["split"]["train"])
            return cls(read_index(index)["sha256"], model.network, seen)
        finally:
            whole.unlink()


def taught(
    bundle: Bundle,
    images: Sequence[LabelledImage],
    teachers: Sequence[Teacher],
    device: torch.device,
) -> list[LabelledImage]:
    """The images with the mean probabilities of the teachers that did not see them, or of all where each has.

    That an image has no nucleus is known: of it nobody is asked.

    Parameters
    ----------
    images : sequence of LabelledImage
        Of the bundle, as any network gets them: a teacher looks at the picture that its own resolution asks for.
    """
    said: dict[str, list[NDArray[np.float32]]] = {each.id: [] for each in images}
    strangers = {each.id: [t for t in teachers if each.id not in t.seen] or list(teachers) for each in images}
    for teacher in teachers:
        asked = [each for each in images if each.labels.any() and teacher in strangers[each.id]]
        pictures = bundle.images([each.id for each in asked], teacher.network.upscale)
        for each, picture in zip(asked, pictures, strict=True):
            planes = predict(teacher.network, picture.image, device, fastest(device))
            said[each.id].append(_of_size(planes, each.labels.shape).astype(np.float32))
    return [replace(each, teacher=_mean(said[each.id], each.labels.shape)) for each in images]


def _mean(said: Sequence[NDArray[np.float32]], shape: tuple[int, ...]) -> Planes:
    """Nothing where nobody was asked."""
    return np.rint(np.mean(said, axis=0)).astype(np.uint8) if said else np.zeros((2, *shape), np.uint8)


def with_packed_teachers(bundle: Bundle, images: Sequence[LabelledImage]) -> list[LabelledImage]:
    """The images with the probabilities that `pack --teacher` packed.

    Raises
    ------
    InputError
        None were packed, or those of an image are missing or damaged.
    """
    if not bundle.content["teachers"]:
        raise InputError(
            "holds no probabilities of teachers", path=bundle.path, remedy="Pack again with --teacher"
        )
    return [replace(each, teacher=_of_size(bundle.teacher(each.id), each.labels.shape)) for each in images]


def _of_size(planes: Planes, shape: tuple[int, ...]) -> Planes:
    """The nearest px: networks of two resolutions get a coarse image in sizes that differ by rounding."""
    rows, cols = (
        ((np.arange(new) + 0.5) * (old / new)).astype(np.int64)
        for new, old in zip(shape, planes.shape[1:], strict=True)
    )
    return planes[:, rows[:, None], cols]
