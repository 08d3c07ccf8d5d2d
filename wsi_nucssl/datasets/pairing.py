"""Datasets of one file per image: which annotation belongs to which."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path

from wsi_nucssl.datasets.choice import ALL, AnnotationChoice
from wsi_nucssl.datasets.geojson_labels import classes_in
from wsi_nucssl.datasets.hematoxylin import NOTE, PLANE_ENDING, read_hematoxylin
from wsi_nucssl.datasets.images import IMAGE_SUFFIXES, ending_of, read_rgb
from wsi_nucssl.datasets.label_files import GEOJSON_SUFFIXES, LABEL_SUFFIXES, read_labels
from wsi_nucssl.datasets.monuseg import notes_on
from wsi_nucssl.datasets.organs import organ_of
from wsi_nucssl.datasets.sample import Dataset, Sample
from wsi_nucssl.errors import DatasetError
from wsi_nucssl.files import read_head

LABEL_ENDINGS = ("_cp_masks", "_masks", "_mask", "_labels", "_label")
"""Cellpose saves x_cp_masks, StarDist's examples x_label or x_mask."""
CELLPOSE_SESSION = "_seg.npy"
_PROPOSAL = re.compile(rb'"wsi_nucssl"\s*:\s*\{"kind"\s*:\s*"proposal"')
_HEAD_BYTES = 4096
_SUFFIXES = IMAGE_SUFFIXES | LABEL_SUFFIXES


def pair_files(
    path: Path, layout: str, images: list[Path], labels: list[Path], choice: AnnotationChoice = ALL
) -> Dataset:
    """The dataset of images and annotations that have the same names, but for `LABEL_ENDINGS`.

    Parameters
    ----------
    path : Path
        The dataset's folder.
    layout : str
        Name of the layout.
    images, labels : list[Path]
        Files that `read_rgb` and `read_labels` read.
    choice : AnnotationChoice
        Which objects of annotation files count.

    Raises
    ------
    DatasetError
        An image has no annotation, an annotation no image, or two files claim one name; or all annotations are as
        `propose` made them.
    """
    image_of, label_of = _by_id(images, path), _by_id(labels, path)
    check_complete(path, image_of, label_of)
    if choice.classes:
        drawn = [label for label in label_of.values() if ending_of(label, GEOJSON_SUFFIXES)]
        choice.check_seen(set().union(*map(classes_in, drawn)), path)
    proposed = {name for name, label in label_of.items() if is_proposal(label)}
    notes = note_on_proposals(len(proposed), len(image_of), path)
    samples = tuple(
        _sample(name, image_of[name], label_of[name], choice) for name in sorted(image_of.keys() - proposed)
    )
    notes += notes_on([sample.id for sample in samples]) + _note_on_stains(samples)
    return Dataset(path, layout, samples, notes)


def is_proposal(label: Path) -> bool:
    """Whether an annotation is what `propose` wrote: nobody has looked at it and exported it again."""
    return bool(ending_of(label, GEOJSON_SUFFIXES) and _PROPOSAL.search(read_head(label, _HEAD_BYTES)))


def note_on_proposals(proposed: int, total: int, path: Path) -> tuple[str, ...]:
    """What is said of images that are left out since their annotation is a model's.

    Raises
    ------
    DatasetError
        They are all.
    """
    if proposed and proposed == total:
        raise DatasetError(
            f"all {total} annotations are as propose wrote them: nobody has corrected one",
            path=path,
            remedy="Correct them in QuPath and export them under the same names (docs/qupath.md)",
        )
    note = f"{proposed} of {total} images were left out: their annotations are as propose wrote them"
    return (note,) if proposed else ()


def _note_on_stains(samples: Sequence[Sample]) -> tuple[str, ...]:
    planes = sum(sample.stains == "hematoxylin" for sample in samples)
    return (NOTE.format(count=planes, total=len(samples)),) if planes else ()


def _sample(name: str, image: Path, label: Path, choice: AnnotationChoice) -> Sample:
    is_plane = image.stem.endswith(PLANE_ENDING)
    return Sample(
        id=name,
        organ=organ_of(name),
        source=label,
        read_image=partial(read_hematoxylin if is_plane else read_rgb, image),
        read_labels=partial(read_labels, label, choice=choice),
        stains="hematoxylin" if is_plane else "h&e",
    )


def files_in(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Files of these suffixes, by name; hidden ones are the system's, not the dataset's."""
    return sorted(
        file for file in folder.iterdir() if ending_of(file, suffixes) and not file.name.startswith(".")
    )


def without_sessions(labels: list[Path]) -> list[Path]:
    """Labels without the files of Cellpose's window, which hold Python objects and not labels alone.

    Raises
    ------
    DatasetError
        One stands there without the masks of its image.
    """
    sessions = [file for file in labels if file.name.endswith(CELLPOSE_SESSION)]
    kept = [file for file in labels if file not in sessions]
    stems = {image_stem(file) for file in kept}
    for file in sessions:
        if file.name.removesuffix(CELLPOSE_SESSION) not in stems:
            raise DatasetError(
                "this is a session of Cellpose, which may run code when it is opened",
                path=file,
                remedy="Save the masks in Cellpose (File → Save masks as PNG/TIF)",
            )
    return kept


def image_stem(file: Path) -> str:
    """Name of the image that a file belongs to: its own, without the ending of a label or plane."""
    suffix = ending_of(file, _SUFFIXES) or file.suffix
    stem = file.name[: len(file.name) - len(suffix)]
    for ending in (*LABEL_ENDINGS, PLANE_ENDING):
        if stem.endswith(ending):
            return stem.removesuffix(ending)
    return stem


def _by_id(files: list[Path], root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for file in files:
        name = image_stem(file)
        if name in found:
            raise DatasetError(
                f"two files claim the id {name}: {found[name].name} and {file.name}",
                path=root,
                remedy="Keep one of them",
            )
        found[name] = file
    return found


def check_complete(path: Path, images: dict[str, Path], labels: dict[str, Path]) -> None:
    """Refuse images without annotation, and annotations without image.

    Raises
    ------
    DatasetError
        There is one; the message names it.
    """
    bare, orphans = sorted(images.keys() - labels.keys()), sorted(labels.keys() - images.keys())
    if bare:
        raise DatasetError(
            f"{len(bare)} of {len(images)} images have no annotation, the first is {images[bare[0]].name}",
            path=path,
            remedy="Add the annotation, such as "
            f"{image_stem(images[bare[0]])}.geojson of QuPath, or move the image out",
        )
    if orphans:
        raise DatasetError(
            f"{len(orphans)} annotations have no image, the first is {labels[orphans[0]].name}",
            path=path,
            remedy="Add the image, or move the annotation out",
        )
