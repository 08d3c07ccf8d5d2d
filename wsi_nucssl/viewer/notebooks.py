"""The page in a notebook: a result in memory, in a frame below its cell.

The kernel serves it on loopback, so the browser has to run on the kernel's machine, or to reach it through a tunnel to
the same port.
"""

from __future__ import annotations

import contextlib
import html
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely

from wsi_nucssl.checks import whole
from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.columns import COLUMNS, TRUNCATED, TYPE, TYPE_PROBABILITY
from wsi_nucssl.pictures import png
from wsi_nucssl.result.picture import ArrayPicture, SlidePicture
from wsi_nucssl.result.points import shown_outlines
from wsi_nucssl.schema import types_of
from wsi_nucssl.slide import Slide, open_slide
from wsi_nucssl.viewer.batch import PLAIN, Batch, Color, id_of
from wsi_nucssl.viewer.server import NOTEBOOKS, ViewerServer
from wsi_nucssl.viewer.sites import Site, TiledSet
from wsi_nucssl.viewer.tiling import write_tiles

if TYPE_CHECKING:
    from wsi_nucssl.result import Result

_AT_A_TIME = 8192


class ViewerFrame:
    """A page that is being served, shown by notebooks as a frame.

    Attributes
    ----------
    url : str
        Its address, for a browser window of its own.
    """

    def __init__(self, site: Site, resources: contextlib.ExitStack, height: int) -> None:
        server = ViewerServer(site, frames=NOTEBOOKS)
        resources.callback(server.close)
        self.url, self._height = server.url, height
        self._end = weakref.finalize(self, resources.close)

    def close(self) -> None:
        """Stop serving; at the end of the process that happens by itself."""
        self._end()

    def _repr_html_(self) -> str:
        return (
            f'<iframe src="{html.escape(self.url)}" width="100%" height="{self._height}" '
            'style="border:0" allow="clipboard-write; fullscreen"></iframe>'
        )

    def __repr__(self) -> str:
        return f"<ViewerFrame {self.url}>"


def view(result: Result, *, height: int = 640) -> ViewerFrame:
    """See `Result.view`."""
    whole("height", height, 100, 10_000)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wsi-nucssl-view-")))
        slide = stack.enter_context(_slide(result, folder))
        tiles = folder / "tiles"
        about = {"name": "nuclei", "header": dict(result.header), "doubts": []}
        write_tiles(
            tiles,
            (batch_of(result[first : first + _AT_A_TIME]) for first in range(0, len(result), _AT_A_TIME)),
            slide.dimensions,
            result.frame.mpp,
            about,
        )
        name = result.picture.name if result.picture else "nuclei"
        site = Site(slide, name, (TiledSet("nuclei", tiles),), None, result.doubts, result.frame.mpp)
        return ViewerFrame(site, stack.pop_all(), height)


def _slide(result: Result, folder: Path) -> Slide:
    """What lies under the nuclei, open."""
    picture = result.picture
    if isinstance(picture, SlidePicture):
        part = picture.part
        return open_slide(picture.path, reader=picture.reader, scene=part.scene, focus=part.focus)
    if isinstance(picture, ArrayPicture):
        image = folder / "image.png"
        image.write_bytes(png(picture.image))
        return open_slide(image)
    raise UsageError(
        "nobody knows what slide these nuclei are of", remedy="Give ⟨slide⟩ to read_nuclei, and view that"
    )


def batch_of(result: Result) -> Batch:
    """A result as the viewer wants it."""
    parts, owners = shapely.get_parts(shown_outlines(result), return_index=True)
    _, xy, (ring_offsets, polygon_offsets) = shapely.to_ragged_array(parts, include_z=False)
    last = np.zeros(len(xy), np.bool_)
    last[ring_offsets[1:] - 1] = True
    vertices = np.diff(ring_offsets).astype(np.int64) - 1
    is_hole = np.ones(len(vertices), np.bool_)
    is_hole[polygon_offsets[:-1]] = False
    rings = np.bincount(owners, np.diff(polygon_offsets), len(result)).astype(np.int64)
    names = {column.name: column.qupath for column in (*COLUMNS, TRUNCATED, TYPE_PROBABILITY)}
    values = {
        names.get(name, name): np.asarray(column, np.float64)
        for name, column in result.measurements.items()
        if column.dtype.kind in "fiub"
    }
    return Batch(
        np.frombuffer(b"".join(id_of(each) for each in result.ids), np.uint8).reshape(-1, 16),
        np.asarray(xy[~last], np.float64),
        np.where(is_hole, -vertices, vertices),
        rings,
        values,
        _classes(result),
    )


def _classes(result: Result) -> list[tuple[str, Color]]:
    if TYPE not in result.measurements:
        return [("", PLAIN)] * len(result)
    looks = {each.name: each.color for each in types_of(result.header.get("types", ()))}
    return [(str(name), looks.get(str(name), PLAIN)) for name in result.measurements[TYPE]]
