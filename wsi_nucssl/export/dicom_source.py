"""The image of a DICOM slide that annotations refer to: the finest of the series, which is level 0."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.files import read_head
from wsi_nucssl.locations import Location, Url

_PREAMBLE: Final = 128
_MAGIC: Final = b"DICM"
_TAGS: Final = ("ImageType", "SeriesInstanceUID", "TotalPixelMatrixColumns", "SOPClassUID")
WHOLE_SLIDE_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"


def check_slide(slide: Location | None) -> None:
    """Refuse a slide that DICOM annotations cannot refer to.

    Raises
    ------
    UsageError
        It is none of DICOM, or nobody says which slide it is.
    """
    if slide is None:
        raise UsageError(
            "DICOM annotations refer to the image of their slide, and no slide is given",
            remedy="Give ⟨slide⟩",
        )
    if isinstance(slide, Url) or not _is_dicom(slide):
        raise UsageError(
            "DICOM annotations are for DICOM slides, and this is none",
            path=slide if isinstance(slide, Path) else str(slide),
            remedy="Choose another format, such as geojson",
        )


def finest_image(path: Path) -> Any:
    """The dataset, without px, of the finest image in the series of a file.

    Parameters
    ----------
    path : Path
        Any file of the slide; the others of its series lie beside it.

    Raises
    ------
    InputError
        The file is damaged, or is no whole slide image.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    def tags(file: Path) -> Any:
        return pydicom.dcmread(file, stop_before_pixels=True, specific_tags=[*_TAGS])

    try:
        series = tags(path).SeriesInstanceUID
        found = []
        for file in sorted(path.parent.iterdir()):
            if file.is_file() and _is_dicom(file):
                each = tags(file)
                is_level = "VOLUME" in each.get("ImageType", ()) and each.SOPClassUID == WHOLE_SLIDE_IMAGE
                if is_level and each.SeriesInstanceUID == series:
                    found.append((-int(each.TotalPixelMatrixColumns), file))
        finest = min(found)[1]
        return pydicom.dcmread(finest, stop_before_pixels=True)
    except (InvalidDicomError, OSError, AttributeError, KeyError, ValueError) as error:
        raise InputError(
            f"it is no DICOM slide that annotations can refer to ({error})",
            path=path,
            remedy="Choose another format, such as geojson",
        ) from error


def _is_dicom(path: Path) -> bool:
    return path.is_file() and read_head(path, _PREAMBLE + len(_MAGIC))[_PREAMBLE:] == _MAGIC
