"""Label images as people store them: PNG or TIFF, .npy, .mat with `inst_map`, CPM's text masks, Aperio's
XML, GeoJSON of QuPath and others.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import Any, Final

import numpy as np
from numpy.lib.format import read_array, read_array_header_1_0, read_array_header_2_0, read_magic
from numpy.typing import NDArray
from scipy.ndimage import label

from wsi_nucssl.datasets.aperio_xml import read_xml_labels
from wsi_nucssl.datasets.choice import ALL, AnnotationChoice
from wsi_nucssl.datasets.geojson_labels import read_geojson_labels
from wsi_nucssl.datasets.images import TIFF_MAGIC, ending_of, read_pixels, tiff_shape
from wsi_nucssl.datasets.sample import LabelImage, Shape
from wsi_nucssl.errors import DatasetError
from wsi_nucssl.files import open_regular
from wsi_nucssl.guarded import run_guarded

_LARGEST_ID = np.iinfo(np.int32).max
NPY_FAULTS: Final = (ValueError, EOFError, TokenError, MemoryError)
"""What numpy raises on damaged .npy files: the header is read as Python, the size that it states may be absurd."""
_MAT_CHILD: Final = """
try:
    content = scipy.io.loadmat(sys.argv[1], variable_names=["inst_map"])
except Exception as error:
    print("error", type(error).__name__, error)
else:
    values = content.get("inst_map")
    if values is not None and values.size > int(sys.argv[2]):
        print("error it holds", values.shape, "ids, more than the image has pixels")
    elif values is not None:
        numpy.lib.format.write_array(sys.stdout.buffer, values, allow_pickle=False)
    else:
        print("absent")
"""
"""SciPy reads MATLAB files in compiled code that a damaged one can crash: so it does that in a process of its own."""
_BYTE, _MANY_IDS, _BLOB_PX, _APART, _TOO_MANY = 255, 200, 10, 3, 1.2
_MOST_PX = 1 << 24
_ONE_ID_PER_NUCLEUS = "Store one integer id per nucleus, 0 for background"


def read_labels(path: Path, shape: Shape, choice: AnnotationChoice = ALL) -> LabelImage:
    """Read a label image for an image of `shape` (rows, cols), as int32 (row, col), by the file's suffix.

    Raises
    ------
    DatasetError
        The file is damaged, or does not hold one integer id per pixel; `choice` has classes, and the file none.
    """
    ending = ending_of(path, LABEL_SUFFIXES)
    if ending in GEOJSON_SUFFIXES:
        return read_geojson_labels(path, shape, choice)
    if choice.classes:
        raise DatasetError(
            f"⟨classes⟩ choose among nuclei with classes, which {ending} files have not",
            path=path,
            remedy="Leave ⟨classes⟩ out",
        )
    values = _READERS[ending](path, shape)
    return _as_labels(values, path)


def _as_labels(values: NDArray[Any], path: Path) -> LabelImage:
    """Check that an array is a label image; floats pass if they are whole numbers, as MATLAB stores them."""
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        raise DatasetError(
            f"not a label image: shape {values.shape}, {values.dtype}", path=path, remedy=_ONE_ID_PER_NUCLEUS
        )
    if values.dtype.kind == "f" and not np.array_equal(values, np.floor(values)):
        raise DatasetError("the ids are not whole numbers", path=path, remedy=_ONE_ID_PER_NUCLEUS)
    low, high = values.min(initial=0), values.max(initial=0)
    if low < 0 or high > _LARGEST_ID:
        raise DatasetError(f"ids reach from {low} to {high}", path=path, remedy=_ONE_ID_PER_NUCLEUS)
    if high == 255 and np.isin(values, (0, 255)).all():
        raise DatasetError(
            "this is a mask of 0 and 255, which does not tell nuclei apart",
            path=path,
            remedy=_ONE_ID_PER_NUCLEUS,
        )
    _check_one_each(values, int(high), path)
    return np.ascontiguousarray(values, dtype=np.int32)


def _check_one_each(values: NDArray[Any], high: int, path: Path) -> None:
    """Refuse masks of 0 and 1, and ids that began again after 255: by far more blobs than ids."""
    ids = np.count_nonzero(np.bincount(values.astype(np.uint8).ravel())[1:]) if 0 < high <= _BYTE else 0
    if high != 1 and ids < _MANY_IDS:
        return
    blobs = int(np.count_nonzero(np.bincount(label(values > 0, np.ones((3, 3)))[0].ravel())[1:] >= _BLOB_PX))
    if high == 1 and blobs >= _APART:
        what = f"this is a mask of 0 and 1 with {blobs} blobs, which does not tell nuclei apart"
    elif high != 1 and blobs > _TOO_MANY * ids:
        what = f"{blobs} blobs share {ids} ids up to {high}: the ids seem to have begun again after 255"
    else:
        return
    raise DatasetError(what, path=path, remedy=f"{_ONE_ID_PER_NUCLEUS}, in 16 or 32 bits")


def _read_picture(path: Path, shape: Shape) -> NDArray[Any]:
    """Only what may be labels of the image is decoded: a small file can state a huge size."""
    with open_regular(path) as file:
        head = file.read(24)
    if head.startswith(b"\x89PNG") and len(head) == 24:
        width, height = struct.unpack(">II", head[16:])
        _check_stated((height, width), shape, path)
    elif head[:4] in TIFF_MAGIC:
        _check_stated(tiff_shape(path), shape, path)
    return read_pixels(path)


def _most_px(shape: Shape) -> int:
    """What may be labels of the image, though it be of another size: that is said by name."""
    return max(_MOST_PX, 4 * math.prod(shape))


def _check_stated(stated: tuple[int, ...], shape: Shape, path: Path) -> None:
    if math.prod(stated) > _most_px(shape):
        raise DatasetError(
            f"it states {' × '.join(map(str, stated[::-1]))} px, the image has {shape[1]} × {shape[0]}",
            path=path,
            remedy="Give labels of the image's own size",
        )


def _read_npy(path: Path, shape: Shape) -> NDArray[Any]:
    try:
        with open_regular(path) as file:
            version = read_magic(file)
            stated, _, _ = (read_array_header_1_0 if version == (1, 0) else read_array_header_2_0)(file)
            _check_stated(stated, shape, path)
            file.seek(0)
            values: NDArray[Any] = read_array(file, allow_pickle=False)
    except NPY_FAULTS as error:
        raise DatasetError(
            f"not a readable .npy array ({error})", path=path, remedy="Save it with numpy.save, as integers"
        ) from error
    return values


def _read_mat(path: Path, shape: Shape) -> NDArray[Any]:
    with open_regular(path):
        pass  # no pipe, no device
    imports, most = "import numpy.lib.format\nimport scipy.io", str(_most_px(shape))
    ended = run_guarded(imports, _MAT_CHILD, os.fspath(path), most)
    if ended.fault or ended.said.startswith(b"error"):
        why = ended.fault or ended.said.removeprefix(b"error").decode(errors="replace").strip()
        raise DatasetError(
            f"not a readable MATLAB file ({why})", path=path, remedy="Save it with save -v7 in MATLAB"
        )
    if ended.said.startswith(b"absent"):
        raise DatasetError(
            "no variable inst_map is in this MATLAB file",
            path=path,
            remedy="Name the label image inst_map, as HoVer-Net's tools do",
        )
    values: NDArray[Any] = read_array(BytesIO(ended.said), allow_pickle=False)
    return values


def _read_cpm_text(path: Path, shape: Shape) -> NDArray[Any]:
    """CPM-15 and CPM-17: "width height", then one id per pixel, row by row.

    Some copies give "height width"; whichever order fits the image is taken. Neither: the file's own
    order stands, and the sizes are found to differ.
    """
    try:
        numbers = np.array(path.read_text(encoding="ascii").split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise DatasetError(
            f"not a text of whole numbers ({error})",
            path=path,
            remedy="A CPM mask starts with its width and height, then has one id per pixel",
        ) from error
    if numbers.size < 2 or numbers[:2].min() < 0 or numbers[0] * numbers[1] != numbers.size - 2:
        raise DatasetError(
            f"{max(numbers.size - 2, 0)} ids do not fill the stated size {numbers[:2].tolist()}",
            path=path,
            remedy="The file seems cut off; copy it again",
        )
    width, height = int(numbers[0]), int(numbers[1])
    rows, cols = shape if shape == (width, height) else (height, width)
    return numbers[2:].reshape(rows, cols)


_READERS: dict[str, Callable[[Path, Shape], NDArray[Any]]] = {
    ".png": _read_picture,
    ".tif": _read_picture,
    ".tiff": _read_picture,
    ".npy": _read_npy,
    ".mat": _read_mat,
    ".txt": _read_cpm_text,
    ".xml": read_xml_labels,
}
GEOJSON_SUFFIXES: Final = (".geojson", ".geojson.gz")
LABEL_SUFFIXES: Final = frozenset({*_READERS, *GEOJSON_SUFFIXES})
