"""Which resolution each image has, and who says so: its annotation file, the dataset's manifest, the user.

Nothing is guessed and no pixel is read. What the user gives fills in where the files are silent; where they
say otherwise it is an error.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from wsi_nucssl.datasets.aperio_xml import read_xml_mpp
from wsi_nucssl.datasets.sample import Dataset, Sample, same_mpp
from wsi_nucssl.errors import DatasetError, UsageError

LEAST_MPP, LARGEST_MPP = 0.05, 4.0
"""µm per px; what lies outside is a slip of units or of the pen, not a microscope's."""

_MANIFEST = "manifest.json"
_LARGEST_MANIFEST = 1 << 26


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
    DatasetError : a file states an mpp that is none, or another than `given` by more than 2 %.
    UsageError : `given` lies outside 0.05 … 4.
    """
    if given is not None and not LEAST_MPP <= given <= LARGEST_MPP:
        raise UsageError(
            f"an mpp of {given:g} µm per px is outside {LEAST_MPP:g} … {LARGEST_MPP:g}",
            remedy="Give µm per pixel: 0.25 for 40×, 0.5 for 20×",
        )
    annotations, listed = _annotations_of(dataset.path), _read_manifest(dataset.path / _MANIFEST)
    samples = tuple(
        _resolved(sample, annotations.get(sample.id), listed.get(sample.id), given) for sample in dataset
    )
    return replace(dataset, samples=samples, notes=(*dataset.notes, *mpp_notes(samples)))


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


def _resolved(sample: Sample, annotation: Path | None, listed: float | None, given: float | None) -> Sample:
    mpp, source, file = _stated(sample, annotation, listed)
    if mpp is None:
        return replace(sample, mpp=given, mpp_source="" if given is None else "given")
    if given is not None and not same_mpp(mpp, given):
        raise DatasetError(
            f"{source} states {mpp:.4g} µm per px for {sample.id}, given were {given:.4g}",
            path=file,
            remedy="Leave the mpp out, which fills in only what the files do not say, or correct the file",
        )
    return replace(sample, mpp=mpp, mpp_source=source)


def _stated(sample: Sample, annotation: Path | None, listed: float | None) -> tuple[float | None, str, Path]:
    """What the files say: mpp, who says it, and where."""
    file = sample.source if sample.source.suffix.lower() == ".xml" else annotation
    mpp = None if file is None else read_xml_mpp(file)
    if file is not None and mpp is not None:
        return _checked(mpp, sample.id, file), "Aperio XML", file
    return listed, _MANIFEST, sample.source


def _checked(mpp: float, sample_id: str, file: Path) -> float:
    if not LEAST_MPP <= mpp <= LARGEST_MPP:
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
    named = {".xml": 4, ".xml.gz": 7}
    return {
        file.name[:-length]: file
        for file in files
        for ending, length in named.items()
        if file.name.lower().endswith(ending)
    }


def _read_manifest(path: Path) -> dict[str, float]:
    """The mpp that manifest.json states by id; a manifest of another make states nothing."""
    if not path.is_file():
        return {}
    content = _load_json(path)
    if not isinstance(content, dict):
        return {}
    stated = {name: entry.get("mpp") for name, entry in content.items() if isinstance(entry, dict)}
    return {name: _number(value, name, path) for name, value in stated.items() if value is not None}


def _load_json(path: Path) -> Any:
    if path.stat().st_size > _LARGEST_MANIFEST:
        raise DatasetError("this manifest is too large to be one", path=path, remedy="Move it out")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DatasetError(
            f"not readable as JSON ({error})", path=path, remedy="Correct the manifest, or move it out"
        ) from error


def _number(value: object, sample_id: str, path: Path) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DatasetError(
            f"the mpp of {sample_id} is {value!r}, not a number",
            path=path,
            remedy="State µm per px, such as 0.25",
        )
    return _checked(float(value), sample_id, path)
