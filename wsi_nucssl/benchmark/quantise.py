"""Quantise a model on the images of a dataset that it may look at, and say what that costs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Final

import numpy as np

from wsi_nucssl.benchmark.predictors import KnownSplit
from wsi_nucssl.datasets import Dataset
from wsi_nucssl.engines.base import Engine
from wsi_nucssl.engines.int8 import quantised_path
from wsi_nucssl.engines.opening import open_engine
from wsi_nucssl.engines.openvino_engine import best_kernel
from wsi_nucssl.engines.quantisation import quantise, record_accuracy, record_speed
from wsi_nucssl.errors import OutputError
from wsi_nucssl.metrics import aji
from wsi_nucssl.models.weights import Model
from wsi_nucssl.outputs import check_output
from wsi_nucssl.segment.images import network_input, segment_image

_ACCEPTED: Final = 0.003
"""AJI that INT8 may lose on a set and still be preferred."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What INT8 gives on one set: mean AJI with both engines, and how many times faster it predicted."""

    aji: float
    aji_int8: float
    speed: float

    @property
    def accurate(self) -> bool:
        """INT8 loses at most 0.3 points of AJI."""
        return self.aji - self.aji_int8 <= _ACCEPTED


def check_quantised(
    model: Model, datasets: Mapping[str, Dataset], *, compare: Callable[[Model, Dataset], Cost] | None = None
) -> dict[str, Cost]:
    """Score both engines on every image of some sets, in turn, and write what came out into the quantised graph.

    Where INT8 is accurate and faster on every set, engines that are chosen automatically on CPUs like this one are INT8
    from then on. On other CPUs they are where it was found to be faster there.

    Parameters
    ----------
    model : Model
        With a quantised graph beside its weights.
    datasets : Mapping[str, Dataset]
        By name; at least one.
    compare : Callable | None
        Another way to find a set's `Cost`, such as from figures that are known.

    Raises
    ------
    WeightsError
        The model has no quantised graph.
    """
    compare = compare or _comparison(model)
    costs = {name: compare(model, dataset) for name, dataset in datasets.items()}
    scores = {
        name: {"aji": round(cost.aji, 4), "aji_int8": round(cost.aji_int8, 4)} for name, cost in costs.items()
    }
    record_accuracy(model, scores, accurate=all(cost.accurate for cost in costs.values()))
    record_speed(model, best_kernel(), min(cost.speed for cost in costs.values()))
    return costs


def _comparison(model: Model) -> Callable[[Model, Dataset], Cost]:
    """By both engines, opened once."""
    return partial(_cost, engines=(open_engine(model, "cpu", "openvino"), open_engine(model, "cpu", "int8")))


def _cost(model: Model, dataset: Dataset, engines: tuple[Engine, Engine]) -> Cost:
    scores: tuple[list[float], list[float]] = ([], [])
    seconds = [0.0, 0.0]
    for sample in dataset:
        image, labels = sample.pair_at(model.info.mpp)
        for which, engine in enumerate(engines):
            segment_image(engine, image, model.info.instances)  # compiles where the size is new
            begun = perf_counter()
            found = segment_image(engine, image, model.info.instances)
            seconds[which] += perf_counter() - begun
            scores[which].append(aji(labels, found))
    plain, int8 = (float(np.nanmean(each)) for each in scores)
    return Cost(plain, int8, seconds[0] / seconds[1])


def quantise_on(model: Model, dataset: Dataset, *, overwrite: bool = False) -> tuple[Path, int]:
    """Quantise `model` on `dataset`; returns the file beside its weights, and how many images were looked at.

    The images that the model's split held out are left out, known by their pixels: scores on them stay honest.

    Raises
    ------
    OutputExists
        The file is there and not to be overwritten.
    OutputError
        The folder of the weights takes no files.
    UsageError
        NNCF is not installed, or no image is left.
    """
    path = quantised_path(model.path)
    if not os.access(path.parent, os.W_OK):
        raise OutputError(
            "the folder of the weights cannot be written to",
            path=path.parent,
            remedy="Copy the weights to a folder of yours, and quantise them there",
        )
    check_output(path, inputs=(model.path, dataset.path), overwrite=overwrite)
    known = KnownSplit.of(model.info)
    held_out = known.validation if known else frozenset()
    hashes = {sample.id: sample.hashes()[0] for sample in dataset}
    usable = {name: sha256 for name, sha256 in hashes.items() if sha256 not in held_out}
    pictures = (network_input(dataset[name].image_at(model.info.mpp), model.info.upscale) for name in usable)
    return quantise(model, pictures, {"dataset": dataset.path.name, "images": usable}), len(usable)
