"""Extraction settings that suit networks: one set of numbers for all images and domains together.

Settings that are fitted to a few images of one source do not carry to another: annotators draw tighter here and leave
more out there. So each source of images counts as much as another, whatever its number of images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final

import numpy as np

from wsi_nucssl.datasets import Dataset
from wsi_nucssl.engines.int8 import quantised_path
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.errors import UsageError
from wsi_nucssl.metrics import aji
from wsi_nucssl.models.info import seen_images
from wsi_nucssl.models.tensors import rewrite_info
from wsi_nucssl.models.weights import Model
from wsi_nucssl.nuclei.instances import LabelImage, label_instances
from wsi_nucssl.nuclei.settings import InstanceConfig, Probabilities
from wsi_nucssl.segment.images import predict_image
from wsi_nucssl.train.validate import or_right

_BODY: Final = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
_FOREGROUND: Final = (0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
_REGROW: Final = (2, 3, 4, 5, 6)
_MARKER: Final = (4, 10, 20, 40)
_AREA: Final = (16, 30, 60, 80)


@dataclass(frozen=True, slots=True)
class Predicted:
    """One image as a network sees it: its probabilities, and the labels that are right."""

    id: str
    planes: Probabilities
    labels: LabelImage


Sources = Mapping[str, Sequence[Predicted]]
"""Predicted images by where they come from; each source counts the same."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Extraction settings, and what they score.

    Attributes
    ----------
    config : InstanceConfig
        InstanceConfig.
    aji : dict
        By source, then by image.
    """

    config: InstanceConfig
    aji: dict[str, dict[str, float]]

    @property
    def means(self) -> dict[str, float]:
        """Mean AJI of each source."""
        return {name: float(np.mean(list(images.values()))) for name, images in self.aji.items()}

    @property
    def mean_aji(self) -> float:
        """Mean over sources of their means."""
        return float(np.mean(list(self.means.values())))


def score(sources: Sources, config: InstanceConfig) -> Calibration:
    """What `config` scores; an image without nuclei counts 1 where none is found."""
    return Calibration(
        config,
        {
            name: {
                each.id: or_right(aji(each.labels, label_instances(each.planes, config))) for each in images
            }
            for name, images in sources.items()
        },
    )


def calibrate(sources: Sources, start: InstanceConfig) -> Calibration:
    """The extraction settings of highest mean AJI.

    First both thresholds together, then the regrowth, then the smallest marker and nucleus: a coordinate search, since
    the last two hardly interact with the first.
    """
    best = score(sources, start)
    for candidates in (
        [{"body": body, "foreground": foreground} for body, foreground in product(_BODY, _FOREGROUND)],
        [{"regrow_px": px} for px in _REGROW],
        [{"min_marker_px": marker, "min_area_px": area} for marker, area in product(_MARKER, _AREA)],
    ):
        for change in candidates:
            candidate = score(sources, replace(best.config, **change))
            if candidate.mean_aji > best.mean_aji:
                best = candidate
    return best


def predict_unseen(models: Sequence[Model], datasets: Mapping[str, Dataset]) -> dict[str, list[Predicted]]:
    """What the models see in the images of each dataset on which they were not trained.

    Raises
    ------
    UsageError
        Every model was trained on every image of a dataset, so that nothing honest can be learnt from it.
    """
    found: dict[str, list[Predicted]] = {name: [] for name in datasets}
    for number, model in enumerate(models):
        engine, seen = open_engine(model, "cpu"), seen_images(model.info)
        for name, dataset in datasets.items():
            for sample in dataset:
                if seen and sample.hashes()[0] in seen:
                    continue
                image, labels = sample.pair_at(model.info.mpp)
                id_ = f"{number}:{sample.id}"
                found[name].append(Predicted(id_, predict_image(engine, image), labels))
    bare = [name for name, images in found.items() if not images]
    if bare:
        raise UsageError(
            f"the models were trained on all images of {', '.join(bare)}",
            remedy="Give models of folds, or datasets that training did not see",
        )
    return found


def write_settings(model: Model, calibration: Calibration, provenance: Mapping[str, Any]) -> None:
    """Write the settings into a model's file, whose weights stay as they are stored.

    A quantised graph beside it was made from the file as it was, and is removed: quantise again.
    """
    note = {"means": {name: round(value, 5) for name, value in calibration.means.items()}, **provenance}
    info = replace(
        model.info,
        instances=calibration.config,
        provenance={**model.info.provenance, "calibration": note},
    )
    rewrite_info(model.path, info)
    quantised_path(model.path).unlink(missing_ok=True)
