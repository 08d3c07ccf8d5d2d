"""Which files of tissue a slide's run reads and writes, and what its manifest says of them."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from wsi_nucssl.errors import OutputExists, UsageError
from wsi_nucssl.files import safe_stem, sha256_file
from wsi_nucssl.locations import Location
from wsi_nucssl.segment.options import SegmentOptions
from wsi_nucssl.slide import TISSUES, Slide
from wsi_nucssl.slide.tissue import tissue_file
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE

_ENDING = ".geojson"


def check_tissue(options: SegmentOptions, slides: Collection[Location]) -> None:
    """See that one file of tissue is not read or written for several slides.

    Raises
    ------
    UsageError
        It would be.
    """
    given = [] if options.tissue in TISSUES else [Path(options.tissue)]
    for path in (*given, *([options.write_tissue] if options.write_tissue else [])):
        if len(slides) > 1 and (path.is_file() or path.suffix == _ENDING):
            raise UsageError(
                f"one file of tissue for {len(slides)} slides",
                path=path,
                remedy="Give a folder, in which each slide has a file of its name",
            )


def tissue_output(options: SegmentOptions, slide: Location, *, replace: bool) -> Path | None:
    """Where the tissue goes, None for nowhere.

    Raises
    ------
    OutputExists
        Something is there and is not to be replaced.
    UsageError
        It is the file that the tissue is read from.
    """
    path = options.write_tissue
    if path is None:
        return None
    path = path if path.suffix == _ENDING else path / f"{safe_stem(slide)}{_ENDING}"
    source = Path(options.tissue)
    source = source / path.name if source.is_dir() else source
    if path.exists() and options.tissue not in TISSUES and source.exists() and path.samefile(source):
        raise UsageError(
            "⟨write_tissue⟩ is the file that ⟨tissue⟩ reads", path=path, remedy="Choose another name"
        )
    if path.exists() and not replace:
        raise OutputExists(
            "the tissue is there already", path=path, remedy="Add ⟨overwrite⟩, or choose another name"
        )
    return path


def tissue_record(options: SegmentOptions, slide: Slide) -> dict[str, Any]:
    """What the manifest says of how tissue was found; nothing where it was by default."""
    if options.tissue == DEFAULT_TISSUE:
        return {}
    if options.tissue in TISSUES:
        return {"tissue": options.tissue}
    return {"tissue": sha256_file(tissue_file(options.tissue, slide))}
