"""AJI on held-out images during training, and the extraction settings that suit a trained network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np
import torch

from wsi_nucssl.metrics import aji, dice1
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.nuclei.instances import InstanceConfig, Probabilities, label_instances
from wsi_nucssl.segment.engine import Augmented, TorchEngine
from wsi_nucssl.segment.images import predict_image
from wsi_nucssl.train.crops import Annotated

_BODY: Final = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75)
_FOREGROUND: Final = (0.35, 0.4, 0.45, 0.5, 0.55)
_REGROW: Final = (2, 3, 4, 5, 6)
_MARKER: Final = (4, 10, 20, 40)
_AREA: Final = (16, 30, 50, 80)


@dataclass(frozen=True, slots=True)
class Validation:
    """Scores of each validation image, by id, and their means."""

    aji: dict[str, float]
    dice1: dict[str, float]

    @property
    def mean_aji(self) -> float:
        """Mean over images."""
        return float(np.mean(list(self.aji.values())))

    @property
    def mean_dice1(self) -> float:
        """Mean over images."""
        return float(np.mean(list(self.dice1.values())))


def predictions(
    network: ResUNet, images: Sequence[Annotated], device: torch.device, views: int = 1
) -> Iterator[Probabilities]:
    """Probabilities of each image, through the same windows as `segment`."""
    engine = Augmented(TorchEngine(network, device), views)
    for annotated in images:
        yield predict_image(engine, annotated.image)


def validate(
    network: ResUNet, images: Sequence[Annotated], device: torch.device, config: InstanceConfig
) -> Validation:
    """Score the network, in evaluation mode, on held-out images."""
    scores = Validation({}, {})
    for annotated, planes in zip(images, predictions(network, images, device), strict=True):
        labels = label_instances(planes, config)
        scores.aji[annotated.id] = aji(annotated.labels, labels)
        scores.dice1[annotated.id] = dice1(annotated.labels, labels)
    return scores


def calibrate(
    planes: Sequence[Probabilities], images: Sequence[Annotated], start: InstanceConfig
) -> tuple[InstanceConfig, float]:
    """The extraction settings of highest mean AJI on these images, and that AJI.

    First both thresholds together, then the regrowth, then the smallest marker and nucleus: a coordinate search, since the
    last two hardly interact with the first.
    """
    best, best_aji = start, _mean_aji(planes, images, start)
    for candidates in (
        [{"body": body, "foreground": foreground} for body, foreground in product(_BODY, _FOREGROUND)],
        [{"regrow_px": px} for px in _REGROW],
        [{"min_marker_px": marker, "min_area_px": area} for marker, area in product(_MARKER, _AREA)],
    ):
        for change in candidates:
            config = replace(best, **change)
            score = _mean_aji(planes, images, config)
            if score > best_aji:
                best, best_aji = config, score
    return best, best_aji


def _mean_aji(planes: Sequence[Probabilities], images: Sequence[Annotated], config: InstanceConfig) -> float:
    pairs = zip(planes, images, strict=True)
    return float(np.mean([aji(image.labels, label_instances(plane, config)) for plane, image in pairs]))
