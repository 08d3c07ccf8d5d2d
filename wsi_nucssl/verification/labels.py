"""Label images: every nucleus is there, every level is every second px of the one before."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import zarr
from numpy.typing import NDArray

from wsi_nucssl.export.labels import LABELS
from wsi_nucssl.geometry import Size
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.verification.claims import Claims
from wsi_nucssl.verification.fault import Tally
from wsi_nucssl.verification.geojson import Content
from wsi_nucssl.verification.outlines import Ids

_TILE: Final = Size(2048, 2048)
_DAMAGE: Final = (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError)


def look_at_labels(path: Path, _claims: Claims, tally: Tally) -> Content:
    """Go through a label image, a few million px at a time; a shard that is lost would read as background."""
    count = 0
    header: dict[str, Any] = {}
    try:
        group = zarr.open_group(path, mode="r")
        attributes: dict[str, Any] = dict(group.attrs)
        header = dict(attributes.get("wsi_nucssl", {}))
        ids: NDArray[np.uint8] = np.asarray(group["ids"])
        count = len(ids)
        known = Ids()
        for each in ids:
            known.add(each.tobytes().hex())
        known.judge(tally, "label")
        levels = [group[f"{LABELS}/{number}"] for number in range(_levels(group))]
        _look(levels[0], count, tally)
        for number in range(1, len(levels)):
            _compare(levels[number - 1], levels[number], number, tally)
    except _DAMAGE as error:
        tally.note("damaged", f"it is no whole label image ({error})")
    return Content(count, header)


def _levels(group: zarr.Group) -> int:
    found: dict[str, Any] = dict(group[LABELS].attrs)
    return len(found["ome"]["multiscales"][0]["datasets"])


def _look(level: Any, count: int, tally: Tally) -> None:
    seen = np.zeros(count + 1, bool)
    for tile in _tiles(level):
        box = tile.core
        labels = np.asarray(level[box.y0 : box.y1, box.x0 : box.x1])
        if labels.min(initial=0) < 0 or labels.max(initial=0) > count:
            tally.note("label", f"a label at px ({box.x0}, {box.y0}) and after has no id")
            continue
        seen[labels] = True
    lost = count - int(seen[1:].sum())
    if lost:
        tally.note("label", f"{lost} of {count} nuclei are nowhere in it: a part of it is lost")


def _compare(finer: Any, level: Any, number: int, tally: Tally) -> None:
    for tile in _tiles(level):
        box = tile.core
        wanted = np.asarray(finer[2 * box.y0 : 2 * box.y1 : 2, 2 * box.x0 : 2 * box.x1 : 2])
        if not np.array_equal(wanted, np.asarray(level[box.y0 : box.y1, box.x0 : box.x1])):
            tally.note("label", f"level {number} is not every second px of the one before, at {box.origin}")


def _tiles(level: Any) -> TileGrid:
    rows, cols = level.shape
    return TileGrid(Size(cols, rows), _TILE)
