"""What each perturbation costs a method: paired losses of AJI over the same images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wsi_nucssl.benchmark.averages import bootstrap, mean_of
from wsi_nucssl.benchmark.notation import finite, number

ByImage = Mapping[str, float]
"""AJI by image id; nan where it is undefined."""


@dataclass(frozen=True, slots=True)
class Loss:
    """What one perturbation costs one method. Fractions, as the AJI is; nan where undefined.

    Attributes
    ----------
    images : ByImage
        AJI of each perturbed image.
    mean : float
        Mean AJI over the perturbed images.
    worst : str
        Id of the image of the lowest AJI (the first of equals); "" where none is defined.
    loss : float
        Mean AJI of the plain images less `mean`.
    paired : float
        Mean over images of plain AJI less perturbed AJI, where both are defined.
    error : float
        Standard error of `paired`: the standard deviation (n − 1) of the images' losses over √n.
    interval : tuple[float, float]
        95 % bootstrap interval of `paired`, as `averages.intervals` makes it.
    """

    images: ByImage
    mean: float
    worst: str
    loss: float
    paired: float
    error: float
    interval: tuple[float, float]

    def as_json(self) -> dict[str, Any]:
        """The perturbation's member of a predictor's `stress` in results.json."""
        return {
            "mean": number(self.mean),
            "loss": number(self.loss),
            "paired_loss": number(self.paired),
            "standard_error": number(self.error),
            "interval": [number(side) for side in self.interval],
            "worst": {"image": self.worst, "aji": self.images[self.worst]} if self.worst else None,
            "images": finite(self.images),
        }


def loss_of(plain: ByImage, stressed: ByImage) -> Loss:
    """Compare the AJI of perturbed images with that of the same images left alone."""
    mean = mean_of(stressed.values())
    losses = [plain[name] - value for name, value in stressed.items() if not math.isnan(plain[name] - value)]
    (interval,) = bootstrap(np.array(losses, np.float64)[:, None])
    return Loss(
        stressed,
        mean,
        _worst(stressed),
        mean_of(plain.values()) - mean,
        mean_of(losses),
        float(np.std(losses, ddof=1) / math.sqrt(len(losses))) if len(losses) > 1 else math.nan,
        interval,
    )


def _worst(images: ByImage) -> str:
    defined = {name: value for name, value in images.items() if not math.isnan(value)}
    return min(defined, key=lambda name: defined[name], default="")
