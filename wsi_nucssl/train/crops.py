"""Crops of annotated images: the k-th batch is a function of the seed and k alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wsi_nucssl.nuclei.targets import three_class
from wsi_nucssl.train.augment import random_crop
from wsi_nucssl.train.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Annotated:
    """An image with its nuclei, in memory: RGB uint8 (row, col, 3) and labels uint16 (row, col)."""

    id: str
    image: NDArray[np.uint8]
    labels: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Crops:
    """Batches of augmented crops; each image comes equally often, in an order shuffled anew each round."""

    images: Sequence[Annotated]
    recipe: Recipe
    seed: int

    def batch(self, index: int) -> dict[str, Tensor]:
        """`image` uint8 (N, 3, S, S) and `classes` uint8 (N, S, S) of batch `index`."""
        size = self.recipe.batch_size
        pairs = [self._crop(index * size + position) for position in range(size)]
        images = torch.from_numpy(np.stack([image for image, _ in pairs]))
        classes = torch.from_numpy(np.stack([classes for _, classes in pairs]))
        return {"image": images.permute(0, 3, 1, 2), "classes": classes}

    def _crop(self, number: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        round_, place = divmod(number, len(self.images))
        order = np.random.default_rng((self.seed, 0, round_)).permutation(len(self.images))
        source = self.images[order[place]]
        rng = np.random.default_rng((self.seed, 1, number))
        image, labels = random_crop(
            source.image, source.labels, self.recipe.crop_px, self.recipe.augmentation, rng
        )
        return image, three_class(labels, self.recipe.band_px)


def single_threaded_opencv() -> None:
    """Keep OpenCV from starting threads of its own beside the loader's and the network's."""
    cv2.setNumThreads(0)
