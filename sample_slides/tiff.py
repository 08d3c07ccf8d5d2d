"""Writing a scene as a pyramid, streamed: an Aperio-style SVS or a generic tiled TIFF."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from sample_slides.scene import Scene
from wsi_nucssl.files import atomic_path
from wsi_nucssl.geometry import Box

RGB = NDArray[np.uint8]
Format = Literal["svs", "tiff"]

REDUCTION = 4
"""Each level is this many times smaller than the one before."""

_TILE = {"svs": 240, "tiff": 256}
_BIG_TIFF_BYTES = 2**32
_SMALLEST_LEVEL = 256
_RENDER_COLS = 2048


def write_slide(scene: Scene, path: Path, *, kind: Format = "svs", quality: int = 80) -> None:
    """Write `scene` to `path` as a pyramid of JPEG tiles; memory holds the reduced levels and one band.

    Parameters
    ----------
    kind : "svs" (OpenSlide's vendor "aperio", MPP and AppMag in the ImageDescription) or "tiff"
        ("generic-tiff", resolution in the TIFF tags).
    quality : of the JPEG tiles, 1 to 100.
    """
    pyramid = _Pyramid(scene, _TILE[kind])
    big = scene.size.area * 3 > _BIG_TIFF_BYTES
    with atomic_path(path) as partial, tifffile.TiffWriter(partial, bigtiff=big) as tiff:
        for index, (tiles, shape) in enumerate(pyramid.levels()):
            tiff.write(
                tiles,
                shape=shape,
                dtype=np.uint8,
                tile=(pyramid.tile, pyramid.tile),
                subfiletype=1 if index and kind == "tiff" else 0,
                resolution=_resolution(scene.mpp * REDUCTION**index),
                resolutionunit="CENTIMETER",
                description=_aperio(scene, shape, quality) if kind == "svs" else "",
                photometric="rgb",
                compression="jpeg",
                compressionargs={"level": quality},
                subsampling=(2, 2),
                software=False,
                metadata=None,
            )
            if index == 0 and kind == "svs":
                _write_thumbnail(tiff, pyramid, scene, quality)


def _write_thumbnail(tiff: tifffile.TiffWriter, pyramid: _Pyramid, scene: Scene, quality: int) -> None:
    """Aperio's second directory: a small image in strips."""
    thumbnail = pyramid.thumbnail()
    tiff.write(
        thumbnail,
        rowsperstrip=16,
        description=_aperio(scene, thumbnail.shape, quality),
        photometric="rgb",
        compression="jpeg",
        compressionargs={"level": quality},
        subsampling=(2, 2),
        software=False,
        metadata=None,
    )


def _resolution(mpp: float) -> tuple[float, float]:
    return 10_000 / mpp, 10_000 / mpp


def _aperio(scene: Scene, shape: tuple[int, ...], quality: int) -> str:
    size = f"{scene.size.width}x{scene.size.height}"
    level = "" if shape[1] == scene.size.width else f" -> {shape[1]}x{shape[0]}"
    magnification = f"{10 / scene.mpp:g}"
    return (
        f"Aperio Image Library (wsi-nucssl sample)\r\n{size} (240x240) JPEG/RGB Q={quality}{level}"
        f"|AppMag = {magnification}|MPP = {scene.mpp:.4f}|Seed = {scene.seed}"
    )


class _Pyramid:
    """The levels of a scene, finest first; the coarser ones fill up while level 0 is drawn."""

    def __init__(self, scene: Scene, tile: int) -> None:
        self._scene = scene
        self.tile = tile
        self._reduced: list[RGB] = []
        rows, cols = scene.size.shape_rc
        while min(rows, cols) > _SMALLEST_LEVEL * REDUCTION:
            rows, cols = rows // REDUCTION, cols // REDUCTION
            self._reduced.append(np.empty((rows, cols, 3), np.uint8))

    def levels(self) -> Iterator[tuple[Iterator[RGB], tuple[int, int, int]]]:
        """Each level as (tiles in raster order, shape); level 0 must be used up before the next is taken."""
        yield self._draw(), (*self._scene.size.shape_rc, 3)
        for level in self._reduced:
            bands = (level[row : row + self.tile] for row in range(0, len(level), self.tile))
            yield (tile for band in bands for tile in _split(band, self.tile)), level.shape

    def thumbnail(self) -> RGB:
        """The slide in at most 1024 px; level 0 must have been used up."""
        level = (
            self._reduced[-1] if self._reduced else self._scene.render(self._rows(0, self._scene.size.height))
        )
        shrink = max(1.0, max(level.shape) / 1024)
        size = round(level.shape[1] / shrink), round(level.shape[0] / shrink)
        return np.asarray(cv2.resize(level, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _draw(self) -> Iterator[RGB]:
        """Tiles of level 0, drawn band by band; each band is also reduced into the coarser levels."""
        band_rows = self.tile * REDUCTION
        for top in range(0, self._scene.size.height, band_rows):
            box = self._rows(top, min(top + band_rows, self._scene.size.height))
            columns = range(0, box.width, _RENDER_COLS)
            pieces = [
                self._scene.render(Box(x, box.y0, min(x + _RENDER_COLS, box.x1), box.y1)) for x in columns
            ]
            band = np.concatenate(pieces, axis=1)
            self._reduce(band, top)
            for row in range(0, len(band), self.tile):
                yield from _split(band[row : row + self.tile], self.tile)

    def _reduce(self, band: RGB, top: int) -> None:
        """Average `band`, which begins at row `top`, into level 1; the last band fills the rest."""
        if not self._reduced:
            return
        first = self._reduced[0]
        rows = first[top // REDUCTION : (top + len(band)) // REDUCTION]
        _average(band, rows)
        if top + len(band) == self._scene.size.height:
            for finer, coarser in zip(self._reduced, self._reduced[1:], strict=False):
                _average(finer, coarser)

    def _rows(self, top: int, bottom: int) -> Box:
        return Box(0, top, self._scene.size.width, bottom)


def _average(image: RGB, out: RGB) -> None:
    """Reduce `image` by block means into `out`, dropping rows and columns that do not fill a block."""
    rows, cols = out.shape[:2]
    if rows:
        whole = image[: rows * REDUCTION, : cols * REDUCTION]
        out[:] = cv2.resize(whole, (cols, rows), interpolation=cv2.INTER_AREA)


def _split(band: RGB, tile: int) -> Iterator[RGB]:
    """Cut a band into square tiles, the last ones padded by repeating their edge."""
    rows, cols = -len(band) % tile, -band.shape[1] % tile
    padded = np.pad(band, ((0, rows), (0, cols), (0, 0)), mode="edge")
    for col in range(0, padded.shape[1], tile):
        yield np.ascontiguousarray(padded[:, col : col + tile])
