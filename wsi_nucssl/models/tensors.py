"""Tensors of weights files, in and out: safetensors, with everything a user of them needs in the header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from wsi_nucssl.errors import WeightsError
from wsi_nucssl.files import write_atomic
from wsi_nucssl.models.arrays import SCALE, read_arrays
from wsi_nucssl.models.encoders import ENCODERS
from wsi_nucssl.models.encoders.base import Encoder
from wsi_nucssl.models.info import (
    ENCODER_KEY,
    MODEL_KEY,
    ModelInfo,
    damaged,
    header_of,
    parse_info,
    read_header,
    weights_path,
)
from wsi_nucssl.models.networks import build
from wsi_nucssl.models.resunet import ResUNet
from wsi_nucssl.models.spec import architecture

Storage = Literal["float32", "bfloat16", "int8"]


def read_network(path: Path, info: ModelInfo, sha256: str) -> ResUNet:
    """The network in a file of that hash, as `Model.network`.

    Raises
    ------
    WeightsError
        The tensors do not fit the architecture, or the file is another one by now.
    """
    network = build(info.arch, info.schema)
    _fill(network, _tensors(path, sha256), path)
    return network.eval()


def save_model(path: Path, network: ResUNet, info: ModelInfo, storage: Storage = "float32") -> None:
    """Write network and info atomically.

    `storage` says how convolution weights are kept: "float32" exactly; "bfloat16" in half the bytes; "int8" in a
    quarter, with one scale for each output channel (symmetric, so that 0 stays 0). Biases and batch norms stay float32.
    """
    _write(path, _packed(network, storage), MODEL_KEY, header_of(info))


def rewrite_info(path: Path, info: ModelInfo) -> None:
    """Give a weights file another header, atomically; its tensors stay as they are stored.

    Raises
    ------
    WeightsError
        The file cannot be read.
    """
    _write(path, _read(path), MODEL_KEY, header_of(info))


def save_encoder(
    path: Path, encoder: Encoder, provenance: dict[str, Any], storage: Storage = "float32"
) -> None:
    """Write a pretrained encoder alone, for `load_encoder`; `storage` as in `save_model`."""
    tensors = _packed(encoder, storage)
    _write(path, tensors, ENCODER_KEY, {"name": encoder.name, "provenance": provenance})


def load_encoder(encoder: Encoder, source: str | Path) -> None:
    """Fill an encoder: from "imagenet", from an encoder file, or from the encoder of a whole model's file.

    Raises
    ------
    WeightsError
        No such file, a damaged one, another architecture, or ImageNet weights that cannot be fetched.
    """
    if str(source) == "imagenet":
        _fill(encoder, ENCODERS.get(encoder.name).imagenet(encoder.name), Path("imagenet"))
        return
    path = weights_path(source)
    header, tensors = read_header(path), _tensors(path)
    if ENCODER_KEY not in header:
        info = parse_info(path, header)
        name = architecture(info.arch).encoder
        tensors = {
            key.removeprefix("encoder."): v for key, v in tensors.items() if key.startswith("encoder.")
        }
    else:
        name = _encoder_name(path, header[ENCODER_KEY])
    if name != encoder.name:
        raise WeightsError(
            f"holds a {name}, but the model wants a {encoder.name}",
            path=path,
            remedy="Choose the matching ⟨arch⟩",
        )
    _fill(encoder, tensors, path)


def _write(path: Path, tensors: dict[str, Tensor], key: str, content: dict[str, Any]) -> None:
    """One header entry only: safetensors writes several in any order, and the same weights must give the same bytes.

    Not by its `save_file`, whose files only their owner may read.
    """
    write_atomic(path, save(tensors, metadata={key: json.dumps(content)}))


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors as they are stored."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error


def _encoder_name(path: Path, text: str) -> str:
    try:
        return str(json.loads(text)["name"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"the header does not describe an encoder ({error!r})",
            path=path,
            remedy="Use a file written by wsi-nucssl pretrain",
        ) from error


def _tensors(path: Path, sha256: str | None = None) -> dict[str, Tensor]:
    """See `read_arrays`."""
    return {name: torch.from_numpy(array) for name, array in read_arrays(path, sha256).items()}


def _fill(module: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        raise WeightsError(
            f"the tensors do not fit the architecture ({first[0].strip()})",
            path=path,
            remedy="Use a matching file",
        ) from error


def _packed(module: nn.Module, storage: Storage) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        tensors |= _pack(name, value.detach().cpu().contiguous(), storage)
    return tensors


def _pack(name: str, value: Tensor, storage: Storage) -> dict[str, Tensor]:
    if storage == "float32" or value.ndim < 4 or not value.is_floating_point() or value.shape[0] == 1:
        return {name: value}
    if storage == "bfloat16":
        return {name: value.to(torch.bfloat16)}
    scale = value.abs().amax(dim=(1, 2, 3)).clamp_min(1e-12) / 127
    quantised = torch.round(value / scale.view(-1, 1, 1, 1)).to(torch.int8)
    return {name: quantised, name + SCALE: scale}
