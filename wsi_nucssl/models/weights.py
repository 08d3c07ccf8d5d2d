"""Models by name or file; the network itself is read when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from wsi_nucssl import checks
from wsi_nucssl.errors import UsageError
from wsi_nucssl.files import sha256_file
from wsi_nucssl.models.defaults import DEFAULT_MODEL
from wsi_nucssl.models.info import ENCODER_KEY, ModelInfo, parse_info, read_header, seen_images, weights_path

if TYPE_CHECKING:
    from wsi_nucssl.doubts import Doubt
    from wsi_nucssl.models.resunet import ResUNet


@dataclass(frozen=True)
class Model:
    """What a model is, and the file it is in with its hash.

    Attributes
    ----------
    info : ModelInfo
        The file's header.
    sha256 : str
        Of the whole file.
    path : Path
        The file.
    """

    info: ModelInfo
    sha256: str
    path: Path

    @cached_property
    def network(self) -> ResUNet:
        """The network; on the CPU, in float32, in evaluation mode.

        Raises
        ------
        WeightsError
            The tensors do not fit the architecture, or the file is another one by now.
        """
        from wsi_nucssl.models.tensors import read_network

        return read_network(self.path, self.info, self.sha256)

    @cached_property
    def doubts(self) -> tuple[Doubt, ...]:
        """What is doubtful of its files: those that are not the ones of their card."""
        from wsi_nucssl.models.cards import doubts_of_weights

        return doubts_of_weights(self.path)


def seen_by(source: str | Path) -> frozenset[str]:
    """`seen_images` of a model's file, run or name; none where it is an encoder alone, which saw no labels.

    Raises
    ------
    WeightsError
        The file cannot be read.
    """
    path = weights_path(source)
    header = read_header(path)
    return frozenset() if ENCODER_KEY in header else seen_images(parse_info(path, header))


def load_model(name_or_path: str | PathLike[str] = DEFAULT_MODEL) -> Model:
    """Open a bundled model by name, or a weights file by path.

    Parameters
    ----------
    name_or_path : str or Path
        A bundled model's name, a weights file, or a fine-tuning run.

    Raises
    ------
    WeightsError
        No such model, a damaged file, another architecture.
    """
    path = weights_path(checks.path("name_or_path", name_or_path))
    return Model(parse_info(path, read_header(path)), sha256_file(path), path)


def as_model(given: str | PathLike[str] | Model | None) -> Model:
    """A model as people give it: by name, by path, loaded already, or the default.

    Raises
    ------
    UsageError
        It is none of these.
    WeightsError
        There is no such model.
    """
    if isinstance(given, Model):
        return given
    if given is not None and not isinstance(given, str | PathLike):
        raise UsageError(
            f"⟨model⟩ is a name, a path or what load_model gave, not {checks.shown(given)}",
            remedy="Leave it out for the default model",
        )
    return load_model(DEFAULT_MODEL if given is None else given)
