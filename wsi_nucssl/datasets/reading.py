"""Open a dataset: find out how its files lie, pair images with annotations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path

from wsi_nucssl.annotation_classes import REGION
from wsi_nucssl.datasets.choice import AnnotationChoice
from wsi_nucssl.datasets.joining import dataset_names, join_datasets
from wsi_nucssl.datasets.organs import patients_of
from wsi_nucssl.datasets.registry import LAYOUTS, Layout
from wsi_nucssl.datasets.resolution import with_resolution
from wsi_nucssl.datasets.sample import Dataset
from wsi_nucssl.errors import DatasetError, UsageError
from wsi_nucssl.locations import local


def open_dataset(
    path: str | PathLike[str],
    *,
    layout: str = "auto",
    mpp: float | None = None,
    regions: str = REGION,
    classes: str | Sequence[str] = (),
) -> Dataset:
    """Open a folder of annotated images; no image is read yet.

    Each image's resolution comes from its Aperio XML (`MicronsPerPixel`; the annotation itself, or
    `annotations/<id>.xml`), else from `manifest.json` in the folder, else from `mpp`, else it is None.

    Parameters
    ----------
    path : str or PathLike[str]
        The dataset's folder.
    layout : str
        "folders" (`images/` + `labels/`, or MoNuSeg's `Tissue Images/` + `Annotations/`), "beside" (image
        and annotation of the same name in one folder: QuPath's GeoJSON, MoNuSeg's test set, CPM), "regions"
        (slides with annotated rectangles), "coco" (COCO's JSON), "pannuke" (its .npy files), one that another
        package adds, or "auto" (the first of `wsi_nucssl.datasets.LAYOUTS` that fits).
    mpp : float, optional
        µm per px of the images of which no file says it.
    regions : str
        The class of the rectangles inside which all nuclei of a slide are annotated.
    classes : str or sequence of str
        The classes of annotated nuclei that count; all by default.

    Raises
    ------
    DatasetError
        There is no such folder, it fits no layout, or an image has no annotation; a file states an mpp that
        is none, or that differs from `mpp` by more than 2 %.
    UsageError
        The layout is unknown, or `mpp` lies outside 0.05 … 4.
    """
    if layout != "auto" and layout not in LAYOUTS:
        raise UsageError(f"no layout is called {layout!r}", remedy=f"Choose auto, {', '.join(LAYOUTS.names)}")
    choice = AnnotationChoice.parse(regions, classes)
    path = local(path)
    if not path.is_dir():
        raise DatasetError("no such folder", path=path, remedy="Give the folder that holds the images")
    for candidate in LAYOUTS.in_turn() if layout == "auto" else [LAYOUTS.get(layout)]:
        dataset = _opened(candidate, path, choice)
        if dataset is not None:
            return with_resolution(_with_patients(dataset), mpp)
    fault = "the layout is not one we know" if layout == "auto" else f"the layout is not {layout!r}"
    known = "; ".join(f"{plugin.name} ({plugin.help})" for plugin in LAYOUTS)
    raise DatasetError(f"no dataset found: {fault}", path=path, remedy=f"Known layouts: {known}")


def _opened(layout: Layout, path: Path, choice: AnnotationChoice) -> Dataset | None:
    if layout.open_chosen is not None:
        return layout.open_chosen(path, choice)
    dataset = layout.open(path)
    if dataset is not None and choice.classes:
        raise UsageError(
            f"⟨classes⟩ choose among annotations with classes, which the layout {dataset.layout} has not",
            remedy="Leave ⟨classes⟩ out",
        )
    return dataset


def open_datasets(
    paths: Sequence[Path],
    *,
    mpp: float | None = None,
    regions: str = REGION,
    classes: str | Sequence[str] = (),
) -> Dataset:
    """Open one folder of annotated images, or several as one, whose images are called "folder/id".

    Parameters
    ----------
    mpp : float, optional
        µm per px of the images of which no file says it. Of several folders, those whose files say it of all images
        need it not.
    regions, classes : str, and str or sequence of str
        As `open_dataset` takes them.

    Raises
    ------
    DatasetError
        As `open_dataset`.
    UsageError
        No folder was given, or one twice.
    """
    named = dataset_names(paths)
    open_one = partial(open_dataset, regions=regions, classes=classes)
    if len(named) == 1 or mpp is None:
        return join_datasets({name: open_one(path, mpp=mpp) for name, path in named.items()})
    opened = {name: open_one(path) for name, path in named.items()}
    for name, dataset in opened.items():
        if any(sample.mpp is None for sample in dataset):
            opened[name] = open_one(named[name], mpp=mpp)
    return join_datasets(opened)


def _with_patients(dataset: Dataset) -> Dataset:
    patients = patients_of(dataset.ids)
    pairs = zip(dataset, patients, strict=True)
    return replace(
        dataset,
        samples=tuple(replace(sample, patient=patient or sample.patient) for sample, patient in pairs),
    )
