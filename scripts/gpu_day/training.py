"""Networks and loops out of a packed folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from scripts.gpu_day.bundle import Bundle
from scripts.gpu_day.recipe import finetune_recipe, pretrain_recipe
from scripts.gpu_day.teachers import Teacher, taught, with_packed_teachers
from wsi_nucssl.errors import InputError
from wsi_nucssl.models.encoders import build_encoder
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.spec import architecture
from wsi_nucssl.models.tensors import load_encoder
from wsi_nucssl.pretext.batches import PretextBatches
from wsi_nucssl.pretext.model import PretextModel
from wsi_nucssl.pretext.sources import TileSource
from wsi_nucssl.pretext.tasks import build_task
from wsi_nucssl.train.crops import Crops, LabelledImage
from wsi_nucssl.train.loop import Loop, Task
from wsi_nucssl.train.losses import SegmentationLoss
from wsi_nucssl.train.segmentation import Segmentation

Values = Mapping[str, Any]
"""A packed recipe."""


def initial_network(bundle: Bundle, values: Values, seed: int, encoder: Path | str = "") -> ResUNet:
    """The network as its training starts: a function of the seed, its encoder from a file or from the bundle.

    Raises
    ------
    InputError
        The weights that the recipe names were not packed.
    """
    torch.manual_seed(seed)
    network = build(values["arch"])
    source = encoder or packed_encoder(bundle, values["encoder"])
    if source:
        load_encoder(network.encoder, source)
    return network


def packed_encoder(bundle: Bundle, name: str) -> Path | str:
    """The packed weights of an encoder; "" for "none".

    Raises
    ------
    InputError
        There are none.
    """
    if name == "none":
        return ""
    file = bundle.encoder(name)
    if file is None:
        raise InputError(
            f"no weights of {name} were packed",
            path=bundle.path,
            remedy=f"Pack with --encoder {name}=imagenet",
        )
    return file


def segmentation(
    bundle: Bundle,
    ids: Sequence[str],
    values: Values,
    seed: int,
    network: ResUNet,
    device: torch.device,
    teachers: Sequence[Teacher] = (),
    packed_teachers: bool = False,
) -> Segmentation:
    """Crops of the images of these ids, made on the device for that network and taught by others, and the loss.

    Raises
    ------
    InputError
        An image is missing or damaged, or no teachers were packed.
    """
    recipe = finetune_recipe(values)
    images = bundle.images(ids, network.upscale)
    if teachers:
        images = taught(bundle, images, teachers, device)
    if packed_teachers:
        images = with_packed_teachers(bundle, images)
    crops = Crops(images, recipe, seed, upscale=network.upscale, device=device)
    return Segmentation(crops, SegmentationLoss(**values["finetune"]["loss"]).to(device))


def finetune_loop(
    network: ResUNet, task: Task, values: Values, steps: int, accelerator: Accelerator, threads: int
) -> Loop:
    """The loop that trains `network` for `steps` steps."""
    return Loop(network, task, steps, finetune_recipe(values).optimisation, accelerator, threads)


class _Image:
    """An image in memory as the one tile of its group."""

    def __init__(self, image: LabelledImage, tile_px: int) -> None:
        self.path, self.identity, self.tile_px = Path(image.id), image.id, tile_px
        self._pixels = image.image

    def __len__(self) -> int:
        return 1

    def read(self, _index: int) -> Any:
        return self._pixels


def pretrain_loop(
    images: Sequence[LabelledImage],
    values: Values,
    strategy: str,
    seed: int,
    accelerator: Accelerator,
    threads: int,
) -> Loop:
    """The loop that pretrains an encoder on images, without their labels."""
    recipe = pretrain_recipe(values)
    torch.manual_seed(seed)
    encoder = build_encoder(architecture(values["arch"]).encoder)
    task = build_task(strategy, recipe.views)
    source = TileSource([_Image(each, recipe.tile_px) for each in images], seed)
    batches = PretextBatches(source, task, recipe.batch_size, seed, recipe.decorrelation)
    model = PretextModel(encoder, task.head(encoder.channels))
    return Loop(model, batches, recipe.steps, recipe.optimisation, accelerator, threads, recipe.optimiser)
