"""Crops of annotated images: the k-th batch is a function of the seed and k alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsi_nucssl.train.augment.draws import Draws, to_device
from wsi_nucssl.train.augment.geometry import crop, footprint
from wsi_nucssl.train.augment.optics import blur, coarsen, expose, halve, sharpen
from wsi_nucssl.train.augment.scene import cover
from wsi_nucssl.train.augment.stain import Palette, estimated_vectors, standard_vectors
from wsi_nucssl.train.targets import UNKNOWN_TYPE, three_class

if TYPE_CHECKING:
    from wsi_nucssl.datasets.sample import Stains
    from wsi_nucssl.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """An image with its nuclei, in memory, at the mpp that the network answers at.

    Attributes
    ----------
    image : ndarray
        RGB, uint8 (row, col, 3).
    labels : ndarray
        int32 (row, col).
    stains : str
        As `Sample.stains`.
    weight : float
        How often its px are seen, relative to those of other images.
    teacher : ndarray or None
        P(body) and P(boundary) that the teachers give, in 255ths: uint8 (2, row, col).
    types : ndarray or None
        The type of each label id from 0 on, `targets.UNKNOWN_TYPE` where it is unknown: uint8 (ids,).
    """

    id: str
    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    stains: Stains = "h&e"
    weight: float = 1.0
    teacher: NDArray[np.uint8] | None = None
    types: NDArray[np.uint8] | None = None


class Crops:
    """Batches of augmented crops, made on `device`.

    In each round of as many crops as there are images, an image comes as often as its weight times its px ask for, up
    to one; the order is shuffled anew.

    Parameters
    ----------
    images : sequence of LabelledImage
        All with `teacher`, or none; all with `types`, or none.
    upscale : int
        1 or 2: px of the classes per px of the picture, see `ResUNet.upscale`.
    """

    def __init__(
        self,
        images: Sequence[LabelledImage],
        recipe: Recipe,
        seed: int,
        *,
        upscale: int = 1,
        device: torch.device | str = "cpu",
    ) -> None:
        self.recipe, self.seed, self.upscale = recipe, seed, upscale
        self.vectors = [
            estimated_vectors(each.image) if each.stains == "h&e" else standard_vectors() for each in images
        ]
        self.palette = Palette(tuple(self.vectors))
        side = footprint(recipe.crop_px, recipe.augmentation)
        self.planes = [torch.from_numpy(_mirrored(_planes(each), side)).to(device) for each in images]
        self.labels = [torch.from_numpy(_mirrored(each.labels, side)).to(device) for each in images]
        px = np.array([each.weight * each.labels.size for each in images], np.float64)
        self._edges = np.cumsum(px / px.sum())
        self._most = max(int(each.labels.max(initial=0)) for each in images)
        tables = [_padded(each.types, self._most + 1) for each in images if each.types is not None]
        self.types = torch.from_numpy(np.stack(tables)).to(device) if tables else None
        self._round = lru_cache(maxsize=64)(self._draw_round)

    def batch(self, index: int) -> dict[str, Tensor]:
        """Batch `index` of the run.

        `image` uint8 (N, 3, S / upscale, S / upscale), `classes` uint8 (N, S, S), with teachers `teacher` uint8
        (N, 2, S, S), and with types `types` uint8 (N, S, S).
        """
        settings = self.recipe.augmentation
        numbers = range(index * self.recipe.batch_size, (index + 1) * self.recipe.batch_size)
        chosen = [self._choice(number) for number in numbers]
        draws = Draws.of_crops(self.seed, numbers)
        planes, labels = crop(
            [self.planes[i] for i in chosen],
            [self.labels[i] for i in chosen],
            self.recipe.crop_px,
            settings,
            draws,
        )
        view = self.palette.restain(planes[:, :3], [self.vectors[i] for i in chosen], settings, draws)
        view, marked = cover(view, labels + 1, settings, draws)  # 0 where covered
        visible = (marked - 1).clamp_min(0)
        view = blur(coarsen(view, settings, draws), settings, draws)
        view = view if self.upscale == 1 else halve(view, settings, draws)
        batch = {
            "image": expose(sharpen(view, settings, draws), settings, draws),
            "classes": three_class(visible, self.recipe.boundary_px, self._most),
        }
        if planes.shape[1] > 3:
            covered = (marked == 0)[:, None]
            batch["teacher"] = planes[:, 3:].masked_fill(covered, 0).round().to(torch.uint8)
        if self.types is not None:  # labels go where the augmentation takes them, and types go with labels
            tables = self.types.index_select(0, to_device(np.array(chosen), self.types.device))
            batch["types"] = tables.gather(1, visible.flatten(1)).view_as(visible)
        return batch

    def _choice(self, number: int) -> int:
        """The image of a crop."""
        round_, place = divmod(number, len(self.planes))
        return int(self._round(round_)[place])

    def _draw_round(self, round_: int) -> NDArray[np.intp]:
        """The images of a round: systematic sampling, then shuffled."""
        count = len(self.planes)
        rng = np.random.default_rng((self.seed, 0, round_))
        drawn = np.searchsorted(self._edges, (rng.random() + np.arange(count)) / count, side="right")
        images: NDArray[np.intp] = np.minimum(rng.permutation(drawn), count - 1)
        return images


def _planes(image: LabelledImage) -> NDArray[np.uint8]:
    """(3, row, col) RGB, or (5, row, col) with the teachers' planes."""
    rgb = image.image.transpose(2, 0, 1)
    return np.ascontiguousarray(rgb) if image.teacher is None else np.concatenate([rgb, image.teacher])


def _padded(types: NDArray[np.uint8], length: int) -> NDArray[np.uint8]:
    """A table of as many ids."""
    table = np.full(length, UNKNOWN_TYPE, np.uint8)
    table[: len(types)] = types[:length]
    return table


def _mirrored(planes: NDArray[Any], side: int) -> NDArray[Any]:
    """Planes (…, row, col) of at least `side` px each way: small ones go on as their mirror image."""
    missing = [max(0, side - length) for length in planes.shape[-2:]]
    pad = [(0, 0)] * (planes.ndim - 2) + [(each // 2, each - each // 2) for each in missing]
    return np.pad(planes, pad, mode="symmetric") if any(missing) else planes


def single_threaded_opencv() -> None:
    """Keep OpenCV from starting threads of its own beside the loader's and the network's."""
    import cv2

    cv2.setNumThreads(0)
