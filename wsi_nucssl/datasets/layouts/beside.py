"""Image and annotation side by side."""

from __future__ import annotations

from pathlib import Path

from wsi_nucssl.datasets.choice import ALL, AnnotationChoice
from wsi_nucssl.datasets.images import IMAGE_SUFFIXES, ending_of
from wsi_nucssl.datasets.label_files import LABEL_SUFFIXES
from wsi_nucssl.datasets.pairing import LABEL_ENDINGS, files_in, pair_files, without_sessions
from wsi_nucssl.datasets.registry import Layout
from wsi_nucssl.datasets.sample import Dataset

_PICTURE_OF_LABELS = "_poly"
"""CPM puts a drawing of the outlines beside each image, under the image's name and this ending."""


def open_beside(path: Path, choice: AnnotationChoice = ALL) -> Dataset | None:
    """Image and annotation of the same name in one folder; None if `path` is not that.

    An annotation that is itself a picture must end in _mask, _masks or _label, or it would be taken for an image.
    """
    images = files_in(path, IMAGE_SUFFIXES)
    labels = [file for file in files_in(path, LABEL_SUFFIXES) if not ending_of(file, IMAGE_SUFFIXES)]
    labels += [file for file in images if file.stem.endswith(LABEL_ENDINGS)]
    images = [file for file in images if file not in labels and not file.stem.endswith(_PICTURE_OF_LABELS)]
    if not images or not labels:
        return None
    return pair_files(path, "beside", images, without_sessions(labels), choice)


LAYOUT = Layout(open_beside, open_beside)
