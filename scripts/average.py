"""The mean of the weights of several trainings from one start, as the default model's are (Wortsman et al., 2022, https://arxiv.org/abs/2203.05482).

    python -m scripts.average OUT.safetensors MODEL MODEL…

Name, extraction, split and provenance are those of the first; start, seed and recipe of the others are kept beside its
own (`averaged_with`). Weights that began elsewhere, or that saw other images, are refused: their mean is no network, or
its header would not say what it saw.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch

from wsi_nucssl.errors import UsageError
from wsi_nucssl.models.info import seen_images
from wsi_nucssl.models.tensors import save_model
from wsi_nucssl.models.weights import Model, load_model
from wsi_nucssl.outputs import check_output

KEPT: Final = ("seed", "recipe", "start", "teachers")


def average(models: list[Model], out: Path) -> None:
    """Write the mean of some models' weights, as float32.

    Raises
    ------
    UsageError
        They differ in architecture, start or images.
    """
    first = models[0]
    for other in models[1:]:
        for what, of in (("architecture", _arch), ("start", _start), ("images", _images)):
            if of(other) != of(first):
                raise UsageError(
                    f"{other.path.name} has another {what} than {first.path.name}",
                    remedy="Average trainings that differ in seed or recipe alone",
                )
    network = first.network
    states = [model.network.state_dict() for model in models]
    mean = {
        name: torch.stack([state[name].double() for state in states]).mean(dim=0).to(value.dtype)
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(mean)
    others = [
        {key: model.info.provenance[key] for key in KEPT if key in model.info.provenance}
        for model in models[1:]
    ]
    provenance = {**first.info.provenance, "averaged_with": others}
    save_model(out, network, replace(first.info, provenance=provenance))


def _arch(model: Model) -> Any:
    return model.info.arch, model.info.schema


def _start(model: Model) -> Any:
    return model.info.provenance.get("start")


def _images(model: Model) -> Any:
    return seen_images(model.info)


def main() -> None:
    """Average what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("models", nargs="+")
    given = parser.parse_args()
    models = [load_model(name) for name in given.models]
    check_output(given.out, inputs=[model.path for model in models], overwrite=False)
    average(models, given.out)


if __name__ == "__main__":
    main()
