"""AnnData, SpatialData and DICOM annotations: read as other formats are made of them, and their outlines looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from wsi_nucssl.errors import InputError
from wsi_nucssl.export.ids import spelled_ids
from wsi_nucssl.export.stored import read_stored
from wsi_nucssl.files import read_head
from wsi_nucssl.verification.claims import Claims
from wsi_nucssl.verification.fault import Tally
from wsi_nucssl.verification.geojson import Content
from wsi_nucssl.verification.outlines import Ids, OutlineChecks, Reach

_OUR_HEADER: Final = b"wsi_nucssl"
_HEAD_BYTES: Final = 1 << 20


def is_annotated_by_us(path: Path) -> bool:
    """True of an .h5ad that names our header near its beginning, where we write it."""
    return _OUR_HEADER in read_head(path, _HEAD_BYTES)


def look_at_stored(path: Path, claims: Claims, tally: Tally) -> Content:
    """Go through a file or folder, a few thousand nuclei at a time."""
    count, ids = 0, Ids()
    header: dict[str, Any] = {}
    try:
        context, tables = read_stored(path)
        header = dict(context.header)
        checks = OutlineChecks(tally, Reach.of(header.get("origin_l0"), claims.size_of(header.get("slide"))))
        for table in tables:
            names = [f"nucleus {count + at}" for at in range(1, len(table) + 1)]
            for identifier in spelled_ids(context.ids(table)):
                ids.add(identifier)
            xy = context.transform.level0(table.ring_xy)
            checks.add(names, xy, table.ring_offsets, table.polygon_offsets)
            count += len(table)
    except InputError as error:
        tally.note("damaged", f"it is cut off or damaged after {count} nuclei ({error.what})")
    ids.judge(tally, "nucleus")
    return Content(count, header)
