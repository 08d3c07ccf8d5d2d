"""What a weights file says of itself, and where it lies."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open

from wsi_nucssl.errors import UsageError, WeightsError
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.models.spec import CLASSES, architecture, is_architecture
from wsi_nucssl.nuclei.settings import InstanceConfig

BUNDLED: Final = Path(__file__).parent / "bundled"
MODEL_KEY: Final = "wsi_nucssl"
ENCODER_KEY: Final = "wsi_nucssl_encoder"


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
    def upscale(self) -> int:
        """Output px of the network per input px, along each axis."""
        return architecture(self.arch).upscale

    @property
    def input_mpp(self) -> float:
        """µm per px of the pictures that the network sees: the upscale of its architecture times `mpp`."""
        return self.mpp * self.upscale


def seen_images(info: ModelInfo) -> frozenset[str]:
    """SHA-256 of the images that a model says it was trained on, itself or by what it started from."""
    split = info.provenance.get("split", {})
    before = info.provenance.get("seen_before", ())
    return frozenset((*before, *(entry["image_sha256"] for entry in split.get("train", ()))))


def bundled_models() -> tuple[str, ...]:
    """Names of the models that come with the package."""
    return tuple(sorted(path.stem for path in BUNDLED.glob("*.safetensors")))


def weights_path(name_or_path: str | Path) -> Path:
    """The file behind a bundled name, a weights file, or a run with a `model.safetensors` or `encoder.safetensors`.

    Raises
    ------
    WeightsError
        No such model.
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


def read_header(path: Path) -> dict[str, str]:
    """What a file of weights has besides tensors.

    Raises
    ------
    WeightsError
        The file cannot be read, or is not whole.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> WeightsError:
    """The error that says that a file is not whole."""
    return WeightsError(
        f"not a whole safetensors file ({error})", path=path, remedy="Copy or download it again"
    )


def parse_info(path: Path, header: dict[str, str]) -> ModelInfo:
    """The model's part of a header.

    Raises
    ------
    WeightsError
        The header is not that of a model, or of one that this version does not know.
    """
    try:
        raw = json.loads(header[MODEL_KEY])
        raw["instances"] = InstanceConfig(**raw["instances"])
        raw["classes"] = tuple(raw["classes"])
        info = ModelInfo(**raw)
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise WeightsError(
            f"the header does not describe a wsi-nucssl model ({error!r})",
            path=path,
            remedy="Use a file written by wsi-nucssl finetune",
        ) from error
    if not is_architecture(info.arch) or info.classes != CLASSES:
        raise WeightsError(
            f"architecture {info.arch!r} with classes {info.classes} is unknown to this version",
            path=path,
            remedy="Update wsi-nucssl",
        )
    return info
