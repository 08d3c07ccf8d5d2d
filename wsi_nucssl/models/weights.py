"""Weights in and out: safetensors with everything a user of them needs in the header."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from wsi_nucssl.errors import UsageError, WeightsError
from wsi_nucssl.files import sha256_file, write_atomic
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.models.encoders import Encoder, encoder_family
from wsi_nucssl.models.resunet import CLASSES, ResUNet
from wsi_nucssl.models.spec import ARCHITECTURES, architecture, build
from wsi_nucssl.nuclei.settings import InstanceConfig

BUNDLED: Final = Path(__file__).parent / "bundled"
DEFAULT_MODEL: Final = "liteunet0x2-nuclei"
Storage = Literal["float32", "bfloat16", "int8"]

_SCALE: Final = ".int8_scale"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a weights file says of itself.

    Attributes
    ----------
    name : for messages and output files.
    arch : a key of `ARCHITECTURES`.
    mpp : µm per px that the network answers at: of its probabilities, and so of the nuclei.
    classes : in the order of the network's channels.
    instances : how its probabilities become nuclei, as calibrated on validation images.
    provenance : data, split, recipe, seed, versions, scores: whatever its maker wrote down.
    """

    name: str
    arch: str
    mpp: float
    instances: InstanceConfig
    classes: tuple[str, ...] = CLASSES
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Mpp.square(self.mpp)  # refuses what is no resolution

    @property
    def input_mpp(self) -> float:
        """µm per px of the pictures that the network sees: the upscale of its architecture times `mpp`."""
        return self.mpp * architecture(self.arch).upscale


@dataclass(frozen=True, slots=True)
class Model:
    """A network ready to predict, what it is, and the file it came from with its hash."""

    network: ResUNet
    info: ModelInfo
    sha256: str
    path: Path


def seen_images(info: ModelInfo) -> frozenset[str]:
    """SHA-256 of the images that a model says it was trained on, itself or by what it started from."""
    split = info.provenance.get("split", {})
    before = info.provenance.get("seen_before", ())
    return frozenset((*before, *(entry["image_sha256"] for entry in split.get("train", ()))))


def seen_by(source: str | Path) -> frozenset[str]:
    """`seen_images` of a model's file, run or name; none where it is an encoder alone, which saw no labels.

    Raises
    ------
    WeightsError
        The file cannot be read.
    """
    path = weights_path(source)
    _, header = _read(path)
    return frozenset() if "wsi_nucssl_encoder" in header else seen_images(_parse_info(path, header))


def bundled_models() -> tuple[str, ...]:
    """Names of the models that come with the package."""
    return tuple(sorted(path.stem for path in BUNDLED.glob("*.safetensors")))


def load_model(name_or_path: str | Path) -> Model:
    """Load a bundled model by name, or a weights file by path; on the CPU, in float32, in evaluation mode.

    Parameters
    ----------
    name_or_path : str or Path
        A bundled model's name, a weights file, or a fine-tuning run.

    Raises
    ------
    WeightsError : no such model, a damaged file, another architecture.
    """
    path = weights_path(name_or_path)
    tensors, header = _read(path)
    info = _parse_info(path, header)
    network = build(info.arch)
    _fill(network, tensors, path)
    return Model(network.eval(), info, sha256_file(path), path)


def save_model(path: Path, network: ResUNet, info: ModelInfo, storage: Storage = "float32") -> None:
    """Write network and info atomically.

    `storage` says how convolution weights are kept: "float32" exactly; "bfloat16" in half the bytes; "int8" in a
    quarter, with one scale for each output channel (symmetric, so that 0 stays 0). Biases and batch norms stay float32.
    """
    _write(path, _packed(network, storage), "wsi_nucssl", asdict(info))


def rewrite_info(path: Path, info: ModelInfo) -> None:
    """Give a weights file another header, atomically; its tensors stay as they are stored.

    Raises
    ------
    WeightsError
        The file cannot be read.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"not a whole safetensors file ({error})", path=path, remedy="Copy or download it again"
        ) from error
    _write(path, tensors, "wsi_nucssl", asdict(info))


def save_encoder(
    path: Path, encoder: Encoder, provenance: dict[str, Any], storage: Storage = "float32"
) -> None:
    """Write a pretrained encoder alone, for `load_encoder`; `storage` as in `save_model`."""
    tensors = _packed(encoder, storage)
    _write(path, tensors, "wsi_nucssl_encoder", {"name": encoder.name, "provenance": provenance})


def load_encoder(encoder: Encoder, source: str | Path) -> None:
    """Fill an encoder: from "imagenet", from an encoder file, or from the encoder of a whole model's file.

    Raises
    ------
    WeightsError : no such file, a damaged one, another architecture, or ImageNet weights that cannot be fetched.
    """
    if str(source) == "imagenet":
        _fill(encoder, encoder_family(encoder.name).imagenet(encoder.name), Path("imagenet"))
        return
    path = weights_path(source)
    tensors, header = _read(path)
    if "wsi_nucssl_encoder" not in header:
        info = _parse_info(path, header)
        name = ARCHITECTURES[info.arch].encoder
        tensors = {
            key.removeprefix("encoder."): v for key, v in tensors.items() if key.startswith("encoder.")
        }
    else:
        name = _encoder_name(path, header["wsi_nucssl_encoder"])
    if name != encoder.name:
        raise WeightsError(
            f"holds a {name}, but the model wants a {encoder.name}",
            path=path,
            remedy="Choose the matching ⟨arch⟩",
        )
    _fill(encoder, tensors, path)


def weights_path(name_or_path: str | Path) -> Path:
    """The file behind a bundled name, a weights file, or a run with a `model.safetensors` or `encoder.safetensors`.

    Raises
    ------
    WeightsError : no such model.
    """
    text = str(name_or_path)
    if text in bundled_models():
        return BUNDLED / f"{text}.safetensors"
    path = Path(text)
    if path.is_dir():
        for name in ("model.safetensors", "encoder.safetensors"):
            if (path / name).exists():
                return path / name
        raise WeightsError("the run holds no weights yet", path=path, remedy="Let it finish, or name a file")
    if not path.exists():
        raise WeightsError(
            "there is no such model",
            path=text,
            remedy=f"Bundled models: {', '.join(bundled_models()) or 'none'}",
        )
    return path


def _write(path: Path, tensors: dict[str, Tensor], key: str, content: dict[str, Any]) -> None:
    """One header entry only: safetensors writes several in any order, and the same weights must give the same bytes.

    Not by its `save_file`, whose files only their owner may read.
    """
    write_atomic(path, save(tensors, metadata={key: json.dumps(content)}))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header: dict[str, str] = file.metadata() or {}
            packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"not a whole safetensors file ({error})", path=path, remedy="Copy or download it again"
        ) from error
    return _unpack(packed), header


def _parse_info(path: Path, header: dict[str, str]) -> ModelInfo:
    try:
        raw = json.loads(header["wsi_nucssl"])
        raw["instances"] = InstanceConfig(**raw["instances"])
        raw["classes"] = tuple(raw["classes"])
        info = ModelInfo(**raw)
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise WeightsError(
            f"the header does not describe a wsi-nucssl model ({error!r})",
            path=path,
            remedy="Use a file written by wsi-nucssl finetune",
        ) from error
    if info.arch not in ARCHITECTURES or info.classes != CLASSES:
        raise WeightsError(
            f"architecture {info.arch!r} with classes {info.classes} is unknown to this version",
            path=path,
            remedy="Update wsi-nucssl",
        )
    return info


def _encoder_name(path: Path, text: str) -> str:
    try:
        return str(json.loads(text)["name"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"the header does not describe an encoder ({error!r})",
            path=path,
            remedy="Use a file written by wsi-nucssl pretrain",
        ) from error


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
    return {name: quantised, name + _SCALE: scale}


def _unpack(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    whole: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if name.endswith(_SCALE):
            continue
        scale = tensors.get(name + _SCALE)
        if scale is not None:
            value = value.float() * scale.view(-1, 1, 1, 1)
        whole[name] = value.float() if value.is_floating_point() else value
    return whole
