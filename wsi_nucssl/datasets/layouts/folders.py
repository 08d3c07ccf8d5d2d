"""Images in one folder, annotations in another."""

from __future__ import annotations

from pathlib import Path

from wsi_nucssl.datasets.choice import ALL, AnnotationChoice
from wsi_nucssl.datasets.images import IMAGE_SUFFIXES
from wsi_nucssl.datasets.label_files import LABEL_SUFFIXES
from wsi_nucssl.datasets.pairing import files_in, pair_files, without_sessions
from wsi_nucssl.datasets.registry import Layout
from wsi_nucssl.datasets.sample import Dataset

_IMAGE_FOLDERS = ("images", "tissue images")
_LABEL_FOLDERS = ("labels", "masks", "annotations")


def open_folders(path: Path, choice: AnnotationChoice = ALL) -> Dataset | None:
    """A folder of images and a folder of annotations under one roof; None if `path` is not that."""
    folders = folders_of(path)
    if folders is None:
        return None
    images, labels = files_in(folders[0], IMAGE_SUFFIXES), files_in(folders[1], LABEL_SUFFIXES)
    return pair_files(path, "folders", images, without_sessions(labels), choice)


def folders_of(path: Path) -> tuple[Path, Path] | None:
    """The folder of images and that of annotations in `path`, whatever the case of their names."""
    folders = {child.name.lower(): child for child in path.iterdir() if child.is_dir()}
    images = next((folders[name] for name in _IMAGE_FOLDERS if name in folders), None)
    labels = next((folders[name] for name in _LABEL_FOLDERS if name in folders), None)
    return None if images is None or labels is None else (images, labels)


LAYOUT = Layout(open_folders, open_folders)
