"""Datasets of one file per image: which annotation belongs to which."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from wsi_nucssl.datasets.hematoxylin import NOTE, PLANE_ENDING, read_hematoxylin
from wsi_nucssl.datasets.images import read_rgb
from wsi_nucssl.datasets.label_files import read_labels
from wsi_nucssl.datasets.monuseg import notes_on
from wsi_nucssl.datasets.organs import organ_of
from wsi_nucssl.datasets.sample import Dataset, Sample
from wsi_nucssl.errors import DatasetError

LABEL_ENDINGS = ("_mask", "_labels", "_label")


def pair_files(path: Path, layout: str, images: list[Path], labels: list[Path]) -> Dataset:
    """The dataset of images and annotations that have the same names, but for `LABEL_ENDINGS`.

    Parameters
    ----------
    path : Path
        The dataset's folder.
    layout : str
        Name of the layout.
    images, labels : list[Path]
        Files that `read_rgb` and `read_labels` read.

    Raises
    ------
    DatasetError
        An image has no annotation, an annotation no image, or two files claim one name.
    """
    image_of, label_of = _by_id(images, path), _by_id(labels, path)
    _check_complete(path, image_of, label_of)
    samples = tuple(_sample(name, image_of[name], label_of[name]) for name in sorted(image_of))
    notes = notes_on([sample.id for sample in samples]) + _note_on_stains(samples)
    return Dataset(path, layout, samples, notes)


def _note_on_stains(samples: Sequence[Sample]) -> tuple[str, ...]:
    planes = sum(sample.stains == "hematoxylin" for sample in samples)
    return (NOTE.format(count=planes, total=len(samples)),) if planes else ()


def _sample(name: str, image: Path, label: Path) -> Sample:
    is_plane = image.stem.endswith(PLANE_ENDING)
    return Sample(
        id=name,
        organ=organ_of(name),
        source=label,
        read_image=partial(read_hematoxylin if is_plane else read_rgb, image),
        read_labels=partial(read_labels, label),
        stains="hematoxylin" if is_plane else "h&e",
    )


def files_in(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """Files of these suffixes, by name; hidden ones are the system's, not the dataset's."""
    return sorted(
        file for file in folder.iterdir() if file.suffix.lower() in suffixes and not file.name.startswith(".")
    )


def _image_stem(file: Path) -> str:
    """Name of the image that a file belongs to: its own, without the ending of a label or plane."""
    for ending in (*LABEL_ENDINGS, PLANE_ENDING):
        if file.stem.endswith(ending):
            return file.stem.removesuffix(ending)
    return file.stem


def _by_id(files: list[Path], root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        name = _image_stem(file)
        if name in found:
            raise DatasetError(
                f"two files claim the id {name}: {found[name].name} and {file.name}",
                path=root,
                remedy="Keep one of them",
            )
        found[name] = file
    return found


def _check_complete(path: Path, images: dict[str, Path], labels: dict[str, Path]) -> None:
    bare, orphans = sorted(images.keys() - labels.keys()), sorted(labels.keys() - images.keys())
    if bare:
        raise DatasetError(
            f"{len(bare)} of {len(images)} images have no annotation, the first is {images[bare[0]].name}",
            path=path,
            remedy="Add the annotation, or move the image out",
        )
    if orphans:
        raise DatasetError(
            f"{len(orphans)} annotations have no image, the first is {labels[orphans[0]].name}",
            path=path,
            remedy="Add the image, or move the annotation out",
        )
