"""Several datasets as one, whose images say which they come from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from wsi_nucssl.datasets.organs import patient_of
from wsi_nucssl.datasets.resolution import describe_mpp, mpp_notes
from wsi_nucssl.datasets.sample import Dataset, Sample
from wsi_nucssl.errors import UsageError


def join_datasets(datasets: Mapping[str, Dataset]) -> Dataset:
    """One dataset of all images, whose ids are "name/id"; a lone one is returned as it is.

    `Sample.dataset` is the name. Patients are kept apart by dataset, except TCGA's, whose ids are the same
    everywhere. Its types of nuclei are those of all; the same name means the same type.

    Parameters
    ----------
    datasets : Mapping[str, Dataset]
        by name; `dataset_names` makes names of folders.

    Raises
    ------
    UsageError
        There is no dataset, or a name is empty or holds a slash.
    """
    if not datasets:
        raise UsageError("no dataset was given", remedy="Give at least one")
    if len(datasets) == 1:
        return next(iter(datasets.values()))
    wrong = next((name for name in datasets if not name or "/" in name), None)
    if wrong is not None:
        raise UsageError(f"a dataset cannot be called {wrong!r}", remedy="Give a name without a slash")
    samples = [_renamed(sample, name) for name, dataset in datasets.items() for sample in dataset]
    root = Path(os.path.commonpath([dataset.path.absolute() for dataset in datasets.values()]))
    types = dict.fromkeys(name for dataset in datasets.values() for name in dataset.type_names)
    ordered = tuple(sorted(samples, key=lambda sample: sample.id))
    return Dataset(root, "joined", ordered, _notes(datasets), tuple(types))


def dataset_names(paths: Iterable[Path]) -> dict[str, Path]:
    """Each folder by its name; later ones of the same name get a number: "test", "test-2".

    Raises
    ------
    UsageError
        The same folder was given twice.
    """
    named: dict[str, Path] = {}
    for path in paths:
        resolved = path.resolve()
        if any(resolved == other.resolve() for other in named.values()):
            raise UsageError(f"{path} was given twice", remedy="Give each dataset once")
        name, number = resolved.name or "dataset", 2
        while name in named:
            name, number = f"{resolved.name or 'dataset'}-{number}", number + 1
        named[name] = path
    return named


def _renamed(sample: Sample, name: str) -> Sample:
    is_own = sample.patient is not None and patient_of(sample.patient) is None
    return replace(
        sample,
        id=f"{name}/{sample.id}",
        dataset=f"{name}/{sample.dataset}" if sample.dataset else name,
        patient=f"{name}/{sample.patient}" if is_own else sample.patient,
    )


def _notes(datasets: Mapping[str, Dataset]) -> tuple[str, ...]:
    """The notes of each under its name, with one on resolution of each if they differ."""
    own = [
        f"{name}: {note}"
        for name, dataset in datasets.items()
        for note in dataset.notes
        if note not in mpp_notes(dataset)
    ]
    if mpp_notes(sample for dataset in datasets.values() for sample in dataset):
        own += [f"{name}: {describe_mpp(dataset)}" for name, dataset in datasets.items()]
    return tuple(own)
