"""AJI on held-out images during training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from wsi_nucssl.engines.torch_engine import TorchEngine
from wsi_nucssl.metrics import aji, dice1
from wsi_nucssl.metrics.drawing import draw_errors
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.nuclei.instances import LabelImage, label_instances
from wsi_nucssl.nuclei.settings import InstanceConfig, Probabilities
from wsi_nucssl.segment.images import predict_image
from wsi_nucssl.train.crops import LabelledImage


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
        ajis[annotated.id] = or_right(aji(annotated.labels, labels))
        dices[annotated.id] = or_right(dice1(annotated.labels, labels))
        found[annotated.id] = labels
    worst = min(images, key=lambda annotated: ajis[annotated.id])
    return Validation(ajis, dices, draw_errors(worst.image, worst.labels, found[worst.id]))


def or_right(score: float) -> float:
    """1 where a score is not defined, since nothing is there and nothing was found: rightly."""
    return 1.0 if math.isnan(score) else score
