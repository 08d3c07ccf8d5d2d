"""What training will see: a picture of crops with their targets, to look at before hours are spent."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.captions import Swatch, captioned
from wsi_nucssl.errors import OutputExists, UsageError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.models.spec import architecture
from wsi_nucssl.outputs import check_output
from wsi_nucssl.pictures import png
from wsi_nucssl.train.crops import Crops
from wsi_nucssl.train.finetune_job import FinetuneJob
from wsi_nucssl.train.images import read_images

_COLUMNS: Final = 8
_COUNT: Final = 32
_CLASSES: Final = (
    Swatch((0, 0, 0), "background"),
    Swatch((90, 160, 90), "inside of a nucleus"),
    Swatch((230, 200, 60), "rim"),
)


def write_preview(job: FinetuneJob, path: Path, *, overwrite: bool = False) -> None:
    """Write the first crops of a job, each above its classes, as a PNG.

    Raises
    ------
    UsageError
        The name does not end in .png.
    OutputExists
        The file is there and `overwrite` is not set, or the place is among the images.
    """
    if path.suffix.lower() != ".png":
        raise UsageError("a preview is a .png", path=path, remedy="Give -o a name that ends in .png")
    labels = {sample.source.resolve().parent for sample in job.dataset}
    inputs = labels | {sibling for each in labels for sibling in each.parent.iterdir() if sibling.is_dir()}
    if path.resolve().parent in inputs:
        raise OutputExists("the picture lies among the images", path=path, remedy="Choose another place")
    check_output(path, inputs=inputs, overwrite=overwrite)
    title = f"What fine-tuning will see: crops as augmented, each above its classes ({job.mpp:g} µm per px)"
    write_atomic(path, png(captioned(draw_preview(job), _CLASSES, title)))


def draw_preview(job: FinetuneJob) -> NDArray[np.uint8]:
    """RGB (row, col, 3): rows of crops as the network sees them, each row above its classes."""
    recipe = job.recipe.changed({"batch_size": _COUNT})
    upscale = architecture(job.arch).upscale
    images = read_images(job.dataset, job.split.train, job.mpp, job.weights, upscale=upscale)
    batch = Crops(images, recipe, job.seed, upscale=upscale).batch(0)
    side = recipe.crop_px
    views = [
        cv2.resize(view, (side, side), interpolation=cv2.INTER_NEAREST)
        for view in batch["image"].permute(0, 2, 3, 1).numpy()
    ]
    colours = np.array([each.colour for each in _CLASSES], np.uint8)
    classes = [colours[each] for each in batch["classes"].numpy()]
    rows = [
        np.hstack(each[first : first + _COLUMNS])
        for first in range(0, _COUNT, _COLUMNS)
        for each in (views, classes)
    ]
    return np.vstack(rows)
