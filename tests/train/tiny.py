"""A dataset so small that training on it takes seconds: discs on pink."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np

from wsi_nucssl.train.finetune_job import FinetuneJob
from wsi_nucssl.train.job import SplitChoice, make_job
from wsi_nucssl.train.recipe import Optimisation, Recipe

SIDE = 96


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """RGB (SIDE, SIDE, 3) and labels (SIDE, SIDE): nine dark discs, some touching."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:SIDE, :SIDE]
    labels = np.zeros((SIDE, SIDE), np.int32)
    for number in range(1, 10):
        row, col, radius = rng.integers(0, SIDE), rng.integers(0, SIDE), rng.integers(5, 12)
        labels[((rows - row) ** 2 + (cols - col) ** 2 < radius**2) & (labels == 0)] = number
    image = np.where(labels[..., None] > 0, (90, 60, 140), (235, 190, 215))
    return np.clip(image + rng.normal(0, 8, image.shape), 0, 255).astype(np.uint8), labels


def write_dataset(root: Path, images: int = 3) -> Path:
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for number in range(images):
        image, labels = scene(number)
        (root / "images" / f"{number}.png").write_bytes(imagecodecs.png_encode(image))
        (root / "labels" / f"{number}.png").write_bytes(imagecodecs.png_encode(labels.astype(np.uint16)))
    return root


def recipe(**changes: object) -> Recipe:
    numbers = {
        "epochs": 2,
        "crops_per_image": 2,
        "batch_size": 2,
        "crop_px": 64,
        "precision": "fp32",
        "optimisation": Optimisation(warmup_steps=1),
    }
    return Recipe.model_validate({**numbers, **changes})


def job(dataset: Path, **changes: object) -> FinetuneJob:
    return make_job([dataset], split=SplitChoice(), recipe=recipe(**changes), arch="liteunet0x2")
