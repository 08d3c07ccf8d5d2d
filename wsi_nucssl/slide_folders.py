"""The slides of a folder, by the endings that slides have."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from wsi_nucssl.locations import Location

_TIFF: Final = (".bif", ".ndpi", ".scn", ".svs", ".tif", ".tiff")
_OTHER: Final = (".dcm", ".jpeg", ".jpg", ".mrxs", ".png", ".vms", ".vmu", ".webp")


def slides_below(place: Location) -> tuple[Location, ...]:
    """The slides in a folder and in those below, by path; anything but a folder is itself."""
    if not isinstance(place, Path) or not place.is_dir():
        return (place,)
    found = (path for path in place.rglob("*") if path.suffix.lower() in (*_TIFF, *_OTHER) and path.is_file())
    return tuple(sorted(found))
