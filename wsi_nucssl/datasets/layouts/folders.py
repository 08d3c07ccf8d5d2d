"""Images in one folder, annotations in another."""

from __future__ import annotations

from pathlib import Path

from wsi_nucssl.datasets.images import IMAGE_SUFFIXES
from wsi_nucssl.datasets.label_files import LABEL_SUFFIXES
from wsi_nucssl.datasets.pairing import files_in, pair_files
from wsi_nucssl.datasets.registry import Layout
from wsi_nucssl.datasets.sample import Dataset

_IMAGE_FOLDERS = ("images", "tissue images")
_LABEL_FOLDERS = ("labels", "masks", "annotations")


def open_folders(path: Path) -> Dataset | None:
    """A folder of images and a folder of annotations under one roof; None if `path` is not that."""
    folders = {child.name.lower(): child for child in path.iterdir() if child.is_dir()}
    images = next((folders[name] for name in _IMAGE_FOLDERS if name in folders), None)
    labels = next((folders[name] for name in _LABEL_FOLDERS if name in folders), None)
    if images is None or labels is None:
        return None
    return pair_files(path, "folders", files_in(images, IMAGE_SUFFIXES), files_in(labels, LABEL_SUFFIXES))


LAYOUT = Layout(open_folders)
