"""Distillation: networks that say what they see in a training image, for another one to learn (Hinton et al., 2015).

A network that was trained on an image repeats its labels, so that an image is taught by those that did not see it, such
as the one of k folds that held it out; by all where each has seen it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.engines.base import Engine
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.errors import WeightsError
from wsi_nucssl.models.info import seen_images
from wsi_nucssl.models.weights import load_model
from wsi_nucssl.segment.images import predict_image


@dataclass(frozen=True, slots=True)
class Teachers:
    """Engines of several models, and the hashes of the images that each was trained on."""

    engines: tuple[Engine, ...]
    seen: tuple[frozenset[str], ...]

    @classmethod
    def load(cls, names: Sequence[str], mpp: float, of_all: Sequence[str] = ()) -> Self:
        """Open models by name, file or run; those of `of_all` teach what they were trained on too.

        Raises
        ------
        WeightsError
            One cannot be read, or does not answer at `mpp` µm per px.
        """
        models = [load_model(name) for name in (*names, *of_all)]
        for model in models:
            if model.info.mpp != mpp:
                raise WeightsError(
                    f"answers at {model.info.mpp} µm per px, but the new network at {mpp}",
                    path=model.path,
                    remedy="Choose teachers of the same mpp",
                )
        seen = [seen_images(model.info) for model in models[: len(names)]]
        return cls(
            tuple(open_engine(model) for model in models), (*seen, *(frozenset[str]() for _ in of_all))
        )

    def predict(self, image: NDArray[np.uint8], sha256: str) -> NDArray[np.uint8]:
        """Mean P(body) and P(boundary) in 255ths, uint8 (2, row, col), of an image (row, col, 3) of that hash."""
        unseen = [e for e, seen in zip(self.engines, self.seen, strict=True) if sha256 not in seen]
        planes = [predict_image(engine, image)[:2].astype(np.float32) for engine in unseen or self.engines]
        mean: NDArray[np.float32] = np.mean(planes, axis=0, dtype=np.float32)
        return np.rint(mean).astype(np.uint8)
