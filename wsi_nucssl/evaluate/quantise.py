"""Quantise a model on the images of a dataset that it may look at."""

from __future__ import annotations

import os
from pathlib import Path

from wsi_nucssl.datasets import Dataset
from wsi_nucssl.errors import OutputError, OutputExists
from wsi_nucssl.evaluate.contestants import KnownSplit
from wsi_nucssl.models.weights import Model
from wsi_nucssl.segment.quantised import quantise, quantised_path


def quantise_on(model: Model, dataset: Dataset, *, overwrite: bool = False) -> tuple[Path, int]:
    """Quantise `model` on `dataset`; returns the file beside its weights, and how many images were looked at.

    The images that the model's split held out are left out, known by their pixels: scores on them stay honest.

    Raises
    ------
    OutputExists : the file is there and not to be overwritten.
    OutputError : the folder of the weights takes no files.
    UsageError : NNCF is not installed, or no image is left.
    """
    path = quantised_path(model.path)
    if path.exists() and not overwrite:
        raise OutputExists("the file is there already", path=path, remedy="Add --overwrite to replace it")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(
            "the folder of the weights cannot be written to",
            path=path.parent,
            remedy="Copy the weights to a folder of yours, and quantise them there",
        )
    known = KnownSplit.of(model.info)
    held_out = known.validation if known else frozenset()
    hashes = {sample.id: sample.hashes()[0] for sample in dataset}
    usable = {name: sha256 for name, sha256 in hashes.items() if sha256 not in held_out}
    images = (dataset[name].image() for name in usable)
    return quantise(model, images, {"dataset": dataset.path.name, "images": usable}), len(usable)
