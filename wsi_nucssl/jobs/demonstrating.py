"""`demo`: the slide that comes with the package, from nothing to its nuclei and a page about them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import wsi_nucssl
from wsi_nucssl.errors import InputError, OutputExists
from wsi_nucssl.files import atomic_path, sha256_file
from wsi_nucssl.jobs.arguments import PathArgument, one_path
from wsi_nucssl.jobs.segmenting import segment_slide
from wsi_nucssl.segment.reporting import report_path

if TYPE_CHECKING:
    from wsi_nucssl.segment.executor import OnProgress
    from wsi_nucssl.segment.summary import SegmentSummary

_PACKAGE: Final = Path(wsi_nucssl.__file__).parent
_PLACES: Final = (_PACKAGE / "demo" / "sample.svs", _PACKAGE.parent / "sample_slides" / "sample.svs")
"""In what is installed, and in a clone."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What a demonstration leaves.

    Attributes
    ----------
    slide, nuclei, report : Path
        A copy of the sample slide, GeoJSON for QuPath, and a page to look at.
    summary : SegmentSummary
        What the run says of itself.
    """

    slide: Path
    nuclei: Path
    report: Path
    summary: SegmentSummary


def demo(folder: PathArgument, *, on_progress: OnProgress = lambda _: None) -> Demo:
    """Put the sample slide into a folder and segment it there, as `segment_slide` does with its defaults.

    What an earlier call left in the folder is kept and gone on with.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there.
    on_progress : callable
        Is told of progress.

    Raises
    ------
    OutputExists
        Another slide lies in the folder under that name.
    InputError
        The installation lacks the slide.
    """
    place = one_path("folder", folder)
    slide, nuclei = place / "sample.svs", place / "nuclei.geojson"
    place.mkdir(parents=True, exist_ok=True)
    _copy(_sample(), slide)
    summary = segment_slide(slide, nuclei, resume=True, on_progress=on_progress)
    return Demo(slide, nuclei, report_path(nuclei), summary)


def _sample() -> Path:
    for path in _PLACES:
        if path.exists():
            return path
    raise InputError("the sample slide is missing", path=_PLACES[0], remedy="Install the package again")


def _copy(source: Path, target: Path) -> None:
    if target.exists():
        if sha256_file(source) != sha256_file(target):
            raise OutputExists("another slide is there", path=target, remedy="Give another folder")
        return
    with atomic_path(target) as partial:
        shutil.copyfile(source, partial)
