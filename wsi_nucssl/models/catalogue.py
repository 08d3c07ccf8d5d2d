"""Which models there are: those that are bundled, and those in folders."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from safetensors import safe_open

from wsi_nucssl.errors import WeightsError
from wsi_nucssl.files import sha256_file
from wsi_nucssl.models.cards import read_card
from wsi_nucssl.models.info import BUNDLED, MODEL_KEY, parse_info, read_header
from wsi_nucssl.models.spec import architecture

_NO_PARAMETER: Final = re.compile(r"running_(mean|var)$|num_batches_tracked$|\bmean$|\bstd$|\.int8_scale$")
"""Tensors that are counted by batch normalisation, hold the picture's normalisation, or the scale of INT8 storage."""


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model.

    Attributes
    ----------
    name : str
        By its header.
    file : str
        The file's name if it is bundled, else its path.
    bundled : bool
        Whether it comes with the package.
    architecture, encoder : str
        Of the network.
    parameters : int
        Numbers that were learnt.
    input_mpp, mpp : float
        µm per px that the network sees, and that it answers at.
    types : tuple of str
        Types of nuclei that it tells apart.
    aji : mapping of str to float
        Mean AJI in %, by set, as its card states it; empty without a card.
    licence : str
        By its card; empty without one.
    bytes : int
        Of the weights file.
    sha256 : str
        Of the weights file.
    int8 : bool
        Whether a quantised graph lies beside it.
    mm2_per_minute : float or None
        Tissue that the network gets through here; None where it was not measured.
    """

    name: str
    file: str
    bundled: bool
    architecture: str
    encoder: str
    parameters: int
    input_mpp: float
    mpp: float
    types: tuple[str, ...]
    aji: Mapping[str, float]
    licence: str
    bytes: int
    sha256: str
    int8: bool
    mm2_per_minute: float | None = None

    def at_speed(self, mm2_per_minute: float) -> ModelEntry:
        """The entry with its speed."""
        return replace(self, mm2_per_minute=mm2_per_minute)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def weights_files(folders: Iterable[Path] = ()) -> Iterator[Path]:
    """The bundled weights, then those in the folders and in runs that lie in them, by name.

    Raises
    ------
    WeightsError
        A folder is none.
    """
    yield from sorted(BUNDLED.glob("*.safetensors"))
    for folder in folders:
        if not folder.is_dir():
            raise WeightsError(
                "there is no such folder", path=folder, remedy="Give a folder of weights or runs"
            )
        found = {*folder.glob("*.safetensors"), *folder.glob("*/model.safetensors")}
        yield from sorted(path for path in found if path.is_file() or path.is_symlink())


def model_entry(path: Path) -> ModelEntry | None:
    """What a weights file is; None where it is no model of ours, such as an encoder alone.

    Raises
    ------
    WeightsError
        The file is damaged, or of a model that this version does not know.
    """
    header = read_header(path)
    if MODEL_KEY not in header:
        return None
    info, card = parse_info(path, header), read_card(path)
    bundled = path.parent == BUNDLED
    return ModelEntry(
        name=info.name,
        file=path.name if bundled else str(path),
        bundled=bundled,
        architecture=info.arch,
        encoder=architecture(info.arch).encoder,
        parameters=_parameters(path),
        input_mpp=info.input_mpp,
        mpp=info.mpp,
        types=tuple(each.name for each in info.schema.types),
        aji=card.aji if card else {},
        licence=card.licence if card else "",
        bytes=path.stat().st_size,
        sha256=sha256_file(path),
        int8=path.with_suffix(".int8").exists(),
    )


def _parameters(path: Path) -> int:
    with safe_open(path, framework="numpy") as file:
        names = [name for name in file.keys() if not _NO_PARAMETER.search(name)]  # noqa: SIM118 (not a dict)
        return sum(math.prod(file.get_slice(name).get_shape()) for name in names)
