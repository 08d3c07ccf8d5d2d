"""COCO's JSON: images by name, and for each nucleus polygons or a run-length mask (https://cocodataset.org/#format-data).

Polygons count from pixel corners, as QuPath's do. Of labels that overlap, the earlier keeps the pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.datasets.choice import ALL, AnnotationChoice
from wsi_nucssl.datasets.images import IMAGE_SUFFIXES, ending_of, read_rgb
from wsi_nucssl.datasets.organs import organ_of
from wsi_nucssl.datasets.polygons import rasterise
from wsi_nucssl.datasets.registry import Layout
from wsi_nucssl.datasets.sample import Dataset, LabelImage, Sample, Shape
from wsi_nucssl.errors import DatasetError, InputError
from wsi_nucssl.export.objects import as_ring
from wsi_nucssl.files import read_bounded, read_head

_LARGEST: Final = 1 << 30
_MEMBERS: Final = (b'"images"', b'"annotations"')
_HEAD_BYTES: Final = 1 << 16
_HALF_PX: Final = 0.5
_FIRST_CHAR, _GOES_ON, _VALUE, _NEGATIVE, _BITS = 48, 0x20, 0x1F, 0x10, 5
"""Of a compressed mask: text from "0" on, 5 bits a character, one for whether another follows, the least first."""

Content = tuple[dict[str, dict[str, Any]], dict[int, list[dict[str, Any]]], dict[int, str]]
"""Images by the stem of their names, annotations by the id of their image, names of categories."""


def open_coco(path: Path, choice: AnnotationChoice = ALL) -> Dataset | None:
    """The images of the one COCO file in `path` or its annotations/; None if there is none."""
    folders = [
        path,
        *(child for child in path.iterdir() if child.name.lower() == "annotations" and child.is_dir()),
    ]
    found = [file for folder in folders for file in sorted(folder.glob("*.json")) if _is_coco(file)]
    if not found:
        return None
    if len(found) > 1:
        raise DatasetError(
            f"{len(found)} files of COCO are here: {', '.join(file.name for file in found)}",
            path=path,
            remedy="Give each a folder of its own",
        )
    (file,) = found
    images, annotations, categories = _content(file, _stamp(file))
    choice.check_seen(
        {categories.get(int(each["category_id"]), "") for some in annotations.values() for each in some}, file
    )
    samples = [
        Sample(
            id=name,
            organ=organ_of(name),
            source=file,
            read_image=partial(read_rgb, _image(path, str(images[name]["file_name"]), file)),
            read_labels=partial(_read_labels, file, name, choice),
        )
        for name in sorted(images)
    ]
    return Dataset(path, "coco", tuple(samples))


LAYOUT = Layout(open_coco, open_coco)


def _is_coco(file: Path) -> bool:
    head = read_head(file, _HEAD_BYTES)
    if head.lstrip().startswith(b"{") and any(member in head for member in _MEMBERS):
        content = _load(file)
        return isinstance(content, dict) and {"images", "annotations"} <= content.keys()
    return False


def _load(file: Path) -> Any:
    try:
        return orjson.loads(read_bounded(file, _LARGEST))
    except (ValueError, InputError) as error:
        raise DatasetError(f"not readable as JSON ({error})", path=file, remedy="Export it again") from error


def _stamp(file: Path) -> tuple[int, int]:
    state = file.stat()
    return state.st_mtime_ns, state.st_size


@lru_cache(maxsize=4)
def _content(file: Path, _stamp: tuple[int, int]) -> Content:
    """What a file says, kept for its next image while it stays as it is.

    Raises
    ------
    DatasetError
        It is no COCO file, or two images have one name.
    """
    images: dict[str, dict[str, Any]] = {}
    annotations: dict[int, list[dict[str, Any]]] = {}
    content = _load(file)
    try:
        for image in content["images"]:
            name = _stem(str(image["file_name"]))
            if name in images:
                raise DatasetError(f"two images are called {name}", path=file, remedy="Rename one of them")
            images[name] = image
        for annotation in content["annotations"]:
            int(annotation["category_id"])
            annotations.setdefault(int(annotation["image_id"]), []).append(annotation)
        categories = {int(each["id"]): str(each["name"]) for each in content.get("categories", [])}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DatasetError(f"not COCO's JSON ({error!r})", path=file, remedy="Export it again") from error
    return images, annotations, categories


def _stem(name: str) -> str:
    base = Path(name.replace("\\", "/")).name
    return base[: len(base) - len(ending_of(Path(base), IMAGE_SUFFIXES))]


def _image(root: Path, name: str, file: Path) -> Path:
    """The file of an image, inside the dataset's folder."""
    given = Path(name.replace("\\", "/"))
    places = [root / given, root / "images" / given, root / given.name, root / "images" / given.name]
    within = (place for place in places if root.resolve() in place.resolve().parents and place.is_file())
    found = next(within, None)
    if found is None:
        raise DatasetError(
            f"the image {name} is not there", path=file, remedy="Put it beside the file, or into images/"
        )
    return found


def _read_labels(file: Path, name: str, choice: AnnotationChoice, shape: Shape) -> LabelImage:
    """The nuclei of an image, 1, 2, … in the order of the file."""
    images, annotations, categories = _content(file, _stamp(file))
    image = images[name]
    if (image.get("height", shape[0]), image.get("width", shape[1])) != shape:
        raise DatasetError(
            f"{name} has {image.get('width')} × {image.get('height')} px there, the image {shape[1]} × {shape[0]}",
            path=file,
            remedy="Give the images that were annotated, at the same scale",
        )
    labels, number = np.zeros(shape, np.int32), 0
    for each in annotations.get(int(image["id"]), []):
        if not choice.takes(categories.get(int(each["category_id"]), "")):
            continue
        number += 1
        try:
            mask = _mask(each, shape)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DatasetError(
                f"annotation {each.get('id')} of {name} is no nucleus ({error})",
                path=file,
                remedy="Export polygons or masks, one a nucleus",
            ) from error
        labels[mask & (labels == 0)] = number
    return labels


def _mask(annotation: Mapping[str, Any], shape: Shape) -> NDArray[np.bool_]:
    """The px of one annotation.

    Raises
    ------
    KeyError, TypeError, ValueError, IndexError
        It has a box alone, is a crowd, or is damaged.
    """
    if annotation.get("iscrowd"):
        raise ValueError("it is a crowd, which does not tell nuclei apart")
    drawn = annotation.get("segmentation")
    if not drawn:
        raise ValueError("it has a box and no outline")
    if isinstance(drawn, dict):
        return _unpacked(drawn, shape)
    parts = [as_ring(np.reshape(part, (-1, 2))) - _HALF_PX for part in drawn]
    mask: NDArray[np.bool_] = np.any([rasterise([part], shape) > 0 for part in parts], axis=0)
    return mask


def _unpacked(drawn: Mapping[str, Any], shape: Shape) -> NDArray[np.bool_]:
    """A run-length mask: lengths of runs of 0 and 1 by turns, column by column."""
    if tuple(drawn["size"]) != shape:
        raise ValueError(f"its mask has the size {drawn['size']}")
    counts = drawn["counts"]
    runs = np.array(_decoded(counts) if isinstance(counts, str) else counts, np.int64)
    if (runs < 0).any() or runs.sum() != shape[0] * shape[1]:
        raise ValueError("the runs of its mask do not fill the image")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(shape, order="F")


def _decoded(text: str) -> list[int]:
    """The runs of a compressed mask: from the fourth on, each is written as its difference to the last but one."""
    runs: list[int] = []
    place = 0
    while place < len(text):
        value = shift = 0
        goes_on = True
        while goes_on:
            char = ord(text[place]) - _FIRST_CHAR
            value |= (char & _VALUE) << shift
            goes_on, place, shift = bool(char & _GOES_ON), place + 1, shift + _BITS
            if not goes_on and char & _NEGATIVE:
                value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs
