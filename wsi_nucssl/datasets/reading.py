"""Open a dataset: find out how its files lie, pair images with annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from wsi_nucssl.datasets.joining import dataset_names, join_datasets
from wsi_nucssl.datasets.organs import patients_of
from wsi_nucssl.datasets.registry import LAYOUTS
from wsi_nucssl.datasets.resolution import with_resolution
from wsi_nucssl.datasets.sample import Dataset
from wsi_nucssl.errors import DatasetError, UsageError


def open_dataset(path: Path, *, layout: str = "auto", mpp: float | None = None) -> Dataset:
    """Open a folder of annotated images; no image is read yet.

    Each image's resolution comes from its Aperio XML (`MicronsPerPixel`; the annotation itself, or
    `annotations/<id>.xml`), else from `manifest.json` in the folder, else from `mpp`, else it is None.

    Parameters
    ----------
    path : the dataset's folder.
    layout : a name of `wsi_nucssl.datasets.LAYOUTS`, which says what each is, or "auto": the first of them that fits.
    mpp : float, optional
        µm per px of the images of which no file says it.

    Raises
    ------
    DatasetError : there is no such folder, it fits no layout, or an image has no annotation; a file states an
        mpp that is none, or that differs from `mpp` by more than 2 %.
    UsageError : the layout is unknown, or `mpp` lies outside 0.05 … 4.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise UsageError(f"no layout is called {layout!r}", remedy=f"Choose auto, {', '.join(LAYOUTS.names)}")
    if not path.is_dir():
        raise DatasetError("no such folder", path=path, remedy="Give the folder that holds the images")
    for candidate in LAYOUTS.in_turn() if layout == "auto" else [LAYOUTS.get(layout)]:
        dataset = candidate.open(path)
        if dataset is not None:
            return with_resolution(_with_patients(dataset), mpp)
    fault = "the layout is not one we know" if layout == "auto" else f"the layout is not {layout!r}"
    known = "; ".join(f"{plugin.name} ({plugin.help})" for plugin in LAYOUTS)
    raise DatasetError(f"no dataset found: {fault}", path=path, remedy=f"Known layouts: {known}")


def open_datasets(paths: Sequence[Path], *, mpp: float | None = None) -> Dataset:
    """Open one folder of annotated images, or several as one, whose images are called "folder/id".

    Parameters
    ----------
    mpp : float, optional
        µm per px of the images of which no file says it. Of several folders, those whose files say it of all images
        need it not.

    Raises
    ------
    DatasetError : as `open_dataset`.
    UsageError : no folder was given, or one twice.
    """
    named = dataset_names(paths)
    if len(named) == 1 or mpp is None:
        return join_datasets({name: open_dataset(path, mpp=mpp) for name, path in named.items()})
    opened = {name: open_dataset(path) for name, path in named.items()}
    for name, dataset in opened.items():
        if any(sample.mpp is None for sample in dataset):
            opened[name] = open_dataset(named[name], mpp=mpp)
    return join_datasets(opened)


def _with_patients(dataset: Dataset) -> Dataset:
    patients = patients_of(dataset.ids)
    pairs = zip(dataset, patients, strict=True)
    return replace(dataset, samples=tuple(replace(sample, patient=patient) for sample, patient in pairs))
