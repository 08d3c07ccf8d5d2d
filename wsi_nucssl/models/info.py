"""What a weights file says of itself, and where it lies."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from safetensors import SafetensorError, safe_open

from wsi_nucssl.checks import shown
from wsi_nucssl.errors import UsageError, WeightsError
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.locations import local
from wsi_nucssl.models.spec import architecture, is_architecture
from wsi_nucssl.nuclei.settings import InstanceConfig
from wsi_nucssl.schema import UNTYPED, OutputSchema

BUNDLED: Final = Path(__file__).parent / "bundled"
MODEL_KEY: Final = "wsi_nucssl"
ENCODER_KEY: Final = "wsi_nucssl_encoder"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a weights file says of itself.

    Attributes
    ----------
    name : str
        For messages and output files.
    arch : str
        A key of `ARCHITECTURES`.
    mpp : float
        µm per px that the network answers at: of its probabilities, and so of the nuclei.
    schema : OutputSchema
        What its channels are; three classes of px, and no types of nuclei, by default.
    instances : InstanceConfig
        How its probabilities become nuclei, as calibrated on validation images.
    provenance : dict of str to Any
        Data, split, recipe, seed, versions, scores: whatever its maker wrote down.
    """

    name: str
    arch: str
    mpp: float
    instances: InstanceConfig
    schema: OutputSchema = UNTYPED
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Mpp.square(self.mpp)  # refuses what is no resolution
        _of_type(self.name, str, "name")
        _of_type(self.provenance, dict, "provenance")
        seen_images(self)  # refuses a provenance that it cannot read

    @property
    def upscale(self) -> int:
        """Output px of the network per input px, along each axis."""
        return architecture(self.arch).upscale

    @property
    def input_mpp(self) -> float:
        """µm per px of the pictures that the network sees: the upscale of its architecture times `mpp`."""
        return self.mpp * self.upscale


def seen_images(info: ModelInfo) -> frozenset[str]:
    """SHA-256 of the images that a model says it was trained on, itself or by what it started from.

    Raises
    ------
    UsageError
        The provenance has other types than `finetune` writes.
    """
    train, _ = split_images(info)
    return train.union(_items(info.provenance.get("seen_before", []), str, "provenance.seen_before"))


def split_images(info: ModelInfo) -> tuple[frozenset[str], frozenset[str]]:
    """SHA-256 of the images of a model's own training and validation parts; empty if it says nothing of them.

    Raises
    ------
    UsageError
        The provenance has other types than `finetune` writes.
    """
    split = _of_type(info.provenance.get("split", {}), dict, "provenance.split")
    train, validation = (
        _image_hashes(split.get(part, []), f"provenance.split.{part}") for part in ("train", "validation")
    )
    return train, validation


def _image_hashes(entries: object, where: str) -> frozenset[str]:
    return frozenset(
        _of_type(entry.get("image_sha256"), str, f"{where}.{at}.image_sha256")
        for at, entry in enumerate(_items(entries, dict, where))
    )


def _items(values: object, kind: type[T], where: str) -> list[T]:
    listed = values if isinstance(values, tuple) else _of_type(values, list, where)
    return [_of_type(value, kind, f"{where}.{at}") for at, value in enumerate(listed)]


def _of_type(value: object, kind: type[T], where: str) -> T:
    if not isinstance(value, kind):
        raise UsageError(f"{where} is no {kind.__name__} but {shown(value)}")
    return value


def bundled_models() -> tuple[str, ...]:
    """Names of the models that come with the package."""
    return tuple(sorted(path.stem for path in BUNDLED.glob("*.safetensors")))


def weights_path(name_or_path: str | Path) -> Path:
    """The file behind a bundled name, a weights file, or a run with a `model.safetensors` or `encoder.safetensors`.

    Raises
    ------
    WeightsError
        No such model.
    UsageError
        It is a URL.
    """
    text = str(name_or_path)
    if text in bundled_models():
        return BUNDLED / f"{text}.safetensors"
    path = local(name_or_path, "model")
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


def header_of(info: ModelInfo) -> dict[str, Any]:
    """The model's part of a header, as `parse_info` reads it."""
    values = asdict(info)
    provenance = values.pop("provenance")
    del values["schema"]
    return {**values, **info.schema.as_header(), "provenance": provenance}


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
        schema = _schema(path, raw)
        raw = {key: value for key, value in raw.items() if key not in ("classes", "schema")}
        info = ModelInfo(**raw, schema=schema)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, UsageError) as error:
        raise WeightsError(
            f"the header does not describe a wsi-nucssl model ({error!r})",
            path=path,
            remedy="Use a file written by wsi-nucssl finetune",
        ) from error
    if not isinstance(info.arch, str) or not is_architecture(info.arch):
        raise WeightsError(
            f"architecture {info.arch!r} is unknown to this version",
            path=path,
            remedy="Update wsi-nucssl",
        )
    return info


def _schema(path: Path, raw: dict[str, Any]) -> OutputSchema:
    try:
        return OutputSchema.from_header(raw)
    except UsageError as error:
        raise WeightsError(error.what, path=path, remedy=error.remedy) from error
