"""Which resolution each image has, and who says so: its annotation file, the dataset's manifest, the user.

Nothing is guessed and no pixel is read. What the user gives fills in where the files are silent; where they
say otherwise it is an error.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wsi_nucssl.datasets.aperio_xml import read_xml_mpp
from wsi_nucssl.datasets.sample import Dataset, Sample
from wsi_nucssl.errors import DatasetError
from wsi_nucssl.mpp import LARGEST_MPP, LEAST_MPP, is_plausible, require_plausible, same_mpp

_APERIO = re.compile(r"\.xml(\.gz)?$", re.IGNORECASE)
_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 1 << 26


@dataclass(frozen=True, slots=True)
class _Stated:
    """What a file says of an image: µm per px, by whose word, and where."""

    mpp: float
    source: str
    file: Path

    def __str__(self) -> str:
        return f"{self.mpp:.4g} µm per px ({self.source})"


def with_resolution(dataset: Dataset, given: float | None = None) -> Dataset:
    """The dataset with `mpp` and `mpp_source` of each sample, and a note where the images differ.

    Parameters
    ----------
    dataset : Dataset
        as a layout's opener returns it.
    given : float, optional
        µm per px of the images of which no file says it.

    Raises
    ------
    DatasetError
        A file states an mpp that is none, or another than `given` by more than 2 %.
    UsageError
        `given` lies outside 0.05 … 4.
    """
    if given is not None:
        require_plausible(given)
    annotations, listed = _annotations_of(dataset.path), _read_manifest(dataset.path / _MANIFEST)
    samples, notes = [], list(dataset.notes)
    for sample in dataset:
        drawn = _from_xml(sample, annotations.get(sample.id))
        noted = listed.get(sample.id)
        samples.append(_resolved(sample, drawn or noted, given))
        if drawn and noted and not same_mpp(drawn.mpp, noted.mpp):
            notes.append(f"{sample.id}: {noted} is overruled by {drawn}")
    return replace(dataset, samples=tuple(samples), notes=(*notes, *mpp_notes(samples)))


def mpp_notes(samples: Iterable[Sample]) -> tuple[str, ...]:
    """One sentence on the resolutions where they differ by more than 2 %, or only some are known."""
    samples = tuple(samples)
    if all(_agree(sample.mpp, samples[0].mpp) for sample in samples):
        return ()
    return (f"The images differ in resolution: {describe_mpp(samples)}",)


def describe_mpp(samples: Iterable[Sample]) -> str:
    """How many images have which mpp by whose word: "27 images at 0.25 µm/px (manifest.json), …"."""
    counts = Counter((sample.mpp, sample.mpp_source) for sample in samples)
    parts = [
        f"{count} image{'s' * (count != 1)} "
        + ("of unknown mpp" if mpp is None else f"at {mpp:.4g} µm/px ({source})")
        for (mpp, source), count in sorted(counts.items(), key=lambda item: (-item[1], item[0][0] or 0))
    ]
    return ", ".join(parts)


def _agree(one: float | None, other: float | None) -> bool:
    return one is other is None or (one is not None and other is not None and same_mpp(one, other))


def _resolved(sample: Sample, stated: _Stated | None, given: float | None) -> Sample:
    if stated is None and sample.mpp is not None:  # a layout whose files say it themselves
        stated = _Stated(_checked(sample.mpp, sample.id, sample.source), sample.mpp_source, sample.source)
    if stated is None:
        return replace(sample, mpp=given, mpp_source="" if given is None else "given")
    if given is not None and not same_mpp(stated.mpp, given):
        raise DatasetError(
            f"{sample.id} has {stated}, given were {given:.4g}",
            path=stated.file,
            remedy="Leave the mpp out, which fills in only what the files do not say, or correct the file",
        )
    return replace(sample, mpp=stated.mpp, mpp_source=stated.source)


def _from_xml(sample: Sample, beside: Path | None) -> _Stated | None:
    """What the annotation itself says, or the Aperio file that lies beside labels of another kind."""
    file = sample.source if sample.source.suffix.lower() == ".xml" else beside
    mpp = None if file is None else read_xml_mpp(file)
    if file is None or mpp is None:
        return None
    return _Stated(_checked(mpp, sample.id, file), "Aperio XML", file)


def _checked(mpp: float, sample_id: str, file: Path) -> float:
    if not is_plausible(mpp):
        raise DatasetError(
            f"the mpp of {sample_id} reads {mpp:g} µm per px, outside {LEAST_MPP:g} … {LARGEST_MPP:g}",
            path=file,
            remedy="Correct it, or take it out and give the mpp when opening",
        )
    return mpp


def _annotations_of(root: Path) -> dict[str, Path]:
    """Aperio files of a folder `annotations`, by id; labels may come from another folder all the same."""
    folders = [child for child in root.iterdir() if child.name.lower() == "annotations" and child.is_dir()]
    files = [file for folder in folders for file in sorted(folder.iterdir()) if not file.name.startswith(".")]
    return {file.name[: found.start()]: file for file in files if (found := _APERIO.search(file.name))}


def _read_manifest(path: Path) -> dict[str, _Stated]:
    """What manifest.json states by id; a manifest of another make states nothing."""
    content = _load_json(path) if path.is_file() else None
    if not isinstance(content, dict):
        return {}
    stated = {name: entry.get("mpp") for name, entry in content.items() if isinstance(entry, dict)}
    return {
        name: _Stated(_number(value, name, path), _MANIFEST, path)
        for name, value in stated.items()
        if value is not None
    }


def _load_json(path: Path) -> Any:
    if path.stat().st_size > _LARGEST_MANIFEST:
        raise DatasetError("this manifest is too large to be one", path=path, remedy="Move it out")
    try:
        return json.loads(path.read_text(encoding="utf-8"), parse_int=float)
    except (ValueError, RecursionError) as error:
        raise DatasetError(
            f"not readable as JSON ({error})", path=path, remedy="Correct the manifest, or move it out"
        ) from error


def _number(value: object, sample_id: str, path: Path) -> float:
    if not isinstance(value, float):
        raise DatasetError(
            f"the mpp of {sample_id} is {value!r}, not a number",
            path=path,
            remedy="State µm per px, such as 0.25",
        )
    return _checked(value, sample_id, path)
