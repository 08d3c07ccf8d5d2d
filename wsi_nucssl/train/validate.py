"""AJI on held-out images during training, and the extraction settings that suit a trained network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from wsi_nucssl.metrics import aji, dice1
from wsi_nucssl.metrics.drawing import draw_errors
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.nuclei.instances import InstanceConfig, LabelImage, Probabilities, label_instances
from wsi_nucssl.segment.images import predict_image
from wsi_nucssl.segment.torch_engine import TorchEngine
from wsi_nucssl.train.crops import LabelledImage

_BODY: Final = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
_FOREGROUND: Final = (0.35, 0.4, 0.45, 0.5, 0.55)
_REGROW: Final = (2, 3, 4, 5, 6)
_MARKER: Final = (4, 10, 20, 40)
_AREA: Final = (16, 30, 50, 80)


@dataclass(frozen=True, slots=True)
class Validation:
    """Scores of each validation image, by id, and the errors drawn on the one of lowest AJI (`metrics.drawing`)."""

    aji: dict[str, float]
    dice1: dict[str, float]
    worst: NDArray[np.uint8]

    @property
    def mean_aji(self) -> float:
        """Mean over images."""
        return float(np.mean(list(self.aji.values())))

    @property
    def mean_dice1(self) -> float:
        """Mean over images."""
        return float(np.mean(list(self.dice1.values())))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Extraction settings that suit a network, and what it scores with them: AJI of each image, by id."""

    config: InstanceConfig
    aji: dict[str, float]

    @property
    def mean_aji(self) -> float:
        """Mean over images."""
        return float(np.mean(list(self.aji.values())))


def predictions(
    network: ResUNet, images: Sequence[LabelledImage], device: torch.device
) -> Iterator[Probabilities]:
    """Probabilities of each image, through the same windows as `segment`."""
    engine = TorchEngine(network, device)
    for annotated in images:
        yield predict_image(engine, annotated.image)


def validate(
    network: ResUNet, images: Sequence[LabelledImage], device: torch.device, config: InstanceConfig
) -> Validation:
    """Score the network, in evaluation mode, on held-out images, of which there is at least one.

    An image without nuclei in which none is found scores 1: else nothing would speak for finding none.
    """
    ajis: dict[str, float] = {}
    dices: dict[str, float] = {}
    found: dict[str, LabelImage] = {}
    for annotated, planes in zip(images, predictions(network, images, device), strict=True):
        labels = label_instances(planes, config)
        ajis[annotated.id] = _or_right(aji(annotated.labels, labels))
        dices[annotated.id] = _or_right(dice1(annotated.labels, labels))
        found[annotated.id] = labels
    worst = min(images, key=lambda annotated: ajis[annotated.id])
    return Validation(ajis, dices, draw_errors(worst.image, worst.labels, found[worst.id]))


def calibrate(
    planes: Sequence[Probabilities], images: Sequence[LabelledImage], start: InstanceConfig
) -> Calibration:
    """The extraction settings of highest mean AJI on these images.

    First both thresholds together, then the regrowth, then the smallest marker and nucleus: a coordinate search, since
    the last two hardly interact with the first.
    """
    best = _score(planes, images, start)
    for candidates in (
        [{"body": body, "foreground": foreground} for body, foreground in product(_BODY, _FOREGROUND)],
        [{"regrow_px": px} for px in _REGROW],
        [{"min_marker_px": marker, "min_area_px": area} for marker, area in product(_MARKER, _AREA)],
    ):
        for change in candidates:
            candidate = _score(planes, images, replace(best.config, **change))
            if candidate.mean_aji > best.mean_aji:
                best = candidate
    return best


def _score(
    planes: Sequence[Probabilities], images: Sequence[LabelledImage], config: InstanceConfig
) -> Calibration:
    pairs = zip(planes, images, strict=True)
    return Calibration(
        config,
        {image.id: _or_right(aji(image.labels, label_instances(plane, config))) for plane, image in pairs},
    )


def _or_right(score: float) -> float:
    """1 where a score is not defined, since nothing is there and nothing was found: rightly."""
    return 1.0 if math.isnan(score) else score
