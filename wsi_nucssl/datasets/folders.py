"""Datasets of one file per image: images and annotations in two folders, or side by side in one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from wsi_nucssl.datasets.hematoxylin import NOTE, PLANE_ENDING, read_hematoxylin
from wsi_nucssl.datasets.images import IMAGE_SUFFIXES, read_rgb
from wsi_nucssl.datasets.label_files import LABEL_SUFFIXES, read_labels
from wsi_nucssl.datasets.monuseg import notes_on
from wsi_nucssl.datasets.organs import organ_of
from wsi_nucssl.datasets.sample import Dataset, Sample
from wsi_nucssl.errors import DatasetError

_IMAGE_FOLDERS = ("images", "tissue images")
_LABEL_FOLDERS = ("labels", "masks", "annotations")
_LABEL_ENDINGS = ("_mask", "_labels", "_label")
_PICTURE_OF_LABELS = "_poly"
"""CPM puts a drawing of the outlines beside each image, under the image's name and this ending."""


def open_folders(path: Path) -> Dataset | None:
    """A folder of images and a folder of annotations under one roof; None if `path` is not that."""
    folders = {child.name.lower(): child for child in path.iterdir() if child.is_dir()}
    images = next((folders[name] for name in _IMAGE_FOLDERS if name in folders), None)
    labels = next((folders[name] for name in _LABEL_FOLDERS if name in folders), None)
    if images is None or labels is None:
        return None
    return _dataset(path, "folders", _files(images, IMAGE_SUFFIXES), _files(labels, LABEL_SUFFIXES))


def open_beside(path: Path) -> Dataset | None:
    """Image and annotation of the same name in one folder; None if `path` is not that.

    An annotation that is itself a picture must end in _mask or _label, or it would be taken for an image.
    """
    images = _files(path, IMAGE_SUFFIXES)
    labels = [file for file in _files(path, LABEL_SUFFIXES) if file.suffix.lower() not in IMAGE_SUFFIXES]
    labels += [file for file in images if file.stem.endswith(_LABEL_ENDINGS)]
    images = [file for file in images if file not in labels and not file.stem.endswith(_PICTURE_OF_LABELS)]
    return _dataset(path, "beside", images, labels) if images and labels else None


def _dataset(path: Path, layout: str, images: list[Path], labels: list[Path]) -> Dataset:
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


def _files(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """Files of these suffixes, by name; hidden ones are the system's, not the dataset's."""
    return sorted(
        file for file in folder.iterdir() if file.suffix.lower() in suffixes and not file.name.startswith(".")
    )


def _image_stem(file: Path) -> str:
    """Name of the image that a file belongs to: its own, without the ending of a label or plane."""
    for ending in (*_LABEL_ENDINGS, PLANE_ENDING):
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
