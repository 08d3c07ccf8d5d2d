"""What people look at a slide by: a thumbnail, a region at any resolution, a lazy array, a card in a notebook."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import imagecodecs
import numpy as np

from wsi_nucssl.checks import whole
from wsi_nucssl.errors import SlideError
from wsi_nucssl.geometry import Box, Mpp
from wsi_nucssl.slide.base import RGB, Slide
from wsi_nucssl.slide.canvas import Canvas
from wsi_nucssl.slide.fingerprint import identity

if TYPE_CHECKING:
    import dask.array

CHUNK_PX = 1024
"""Side of a chunk of a lazy slide, in px of its canvas."""
_CARD_PX = 256


class Views:
    """The methods of every slide that are not its backend's."""

    def thumbnail(self: Slide, max_side: int = 512) -> RGB:
        """All of the slide in at most `max_side` px a side; a smaller slide as it is.

        Parameters
        ----------
        max_side : int
            px of the longest side at most.

        Returns
        -------
        ndarray
            uint8 RGB (row, col, 3).

        Raises
        ------
        SlideError
            A part of the slide cannot be decoded.
        """
        whole("max_side", max_side, 1)
        return Canvas.within(self, max_side).read_whole()

    def read(
        self: Slide, region: Box | Sequence[int], mpp: Mpp | float | Sequence[float] | None = None
    ) -> RGB:
        """A region of the slide at the resolution asked for.

        The pixels are those of the slide's `Canvas` at that resolution, the least box of them that covers the
        region: a pixel's value does not depend on the region that reads it. Outside the slide is white.

        Parameters
        ----------
        region : Box or sequence of int
            (x, y, width, height) in level-0 px.
        mpp : Mpp or float or sequence of float, optional
            µm per px of the result; level 0 as it is, if not given.

        Returns
        -------
        ndarray
            uint8 RGB (row, col, 3).

        Raises
        ------
        MissingMpp
            `mpp` is given, and the slide does not say its own.
        SlideError
            The region cannot be decoded.
        UsageError
            `region` is no box of px, or `mpp` no resolution.

        Examples
        --------
        >>> with open_slide("slide.svs") as slide:  # doctest: +SKIP
        ...     pixels = slide.read((1000, 2000, 512, 256), mpp=0.5)
        """
        box, canvas = Box.parse(region), _canvas(self, mpp)
        return canvas.read(box.in_px_of(canvas.scale_x, canvas.scale_y))

    def dask(self: Slide, mpp: Mpp | float | Sequence[float] | None = None) -> dask.array.Array:
        """The whole slide as a lazy array, read chunk by chunk when it is computed.

        Parameters
        ----------
        mpp : Mpp or float or sequence of float, optional
            µm per px of the array; level 0 as it is, if not given.

        Returns
        -------
        dask.array.Array
            uint8 RGB (row, col, 3) in chunks of 1024 × 1024 px on the slide's canvas; the slide must stay open.

        Raises
        ------
        MissingMpp
            `mpp` is given, and the slide does not say its own.

        Examples
        --------
        >>> with open_slide("slide.svs") as slide:  # doctest: +SKIP
        ...     brightness = slide.dask(mpp=4).mean(axis=2).compute()
        """
        import dask.array

        canvas = _canvas(self, mpp)
        name = f"slide-{identity(self)}-{self.reader}-{canvas.scale_x!r}-{canvas.scale_y!r}"
        chunks = (CHUNK_PX, CHUNK_PX, 3)
        no_pixels = np.empty((0, 0, 0), np.uint8)
        lazy: dask.array.Array = dask.array.from_array(_Pixels(canvas), chunks, name, meta=no_pixels)
        return lazy

    def __repr__(self: Slide) -> str:
        levels = ", ".join(f"{level.downsample:g}" for level in self.levels)
        return (
            f"<{type(self).__name__} {self.path.name}: {self.dimensions} px, mpp {self.mpp or 'unknown'}, "
            f"downsamples {levels}>"
        )

    def _repr_html_(self: Slide) -> str:
        return card(self)


def card(slide: Slide) -> str:
    """What a notebook shows of a slide: its thumbnail, size, resolution and levels, as HTML."""
    levels = " · ".join(f"{level.size} (1/{level.downsample:g})" for level in slide.levels)
    mpp = f"{slide.mpp} µm per px ({slide.mpp_source})" if slide.mpp else "not stated: give <code>mpp=</code>"
    rows = {
        "size": f"{slide.dimensions} px",
        "mpp": html.escape(mpp, quote=True) if slide.mpp else mpp,
        "levels": html.escape(levels),
        "format": html.escape(f"{slide.vendor}, read by {slide.reader}"),
    }
    cells = "".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in rows.items())
    name = html.escape(slide.path.name)
    return (
        f'<div style="display:flex;gap:1em;align-items:flex-start">{_picture(slide)}'
        f"<div><strong>{name}</strong><table>{cells}</table></div></div>"
    )


def png_uri(image: RGB) -> str:
    """An RGB image (row, col, 3) as a PNG in a data URI."""
    return "data:image/png;base64," + base64.b64encode(imagecodecs.png_encode(image)).decode()


def _picture(slide: Slide) -> str:
    try:
        return f'<img alt="thumbnail" src="{png_uri(slide.thumbnail(_CARD_PX))}">'
    except SlideError as error:  # what is known of a damaged slide is still worth showing
        return f"<em>{html.escape(error.what)}</em>"


def _canvas(slide: Slide, mpp: Mpp | float | Sequence[float] | None) -> Canvas:
    return Canvas.at_scale(slide, 1.0) if mpp is None else Canvas(slide, Mpp.parse(mpp))


class _Pixels:
    """A canvas as an array (row, col, 3) that is read by slicing, steps and single indices included."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas, self.shape, self.dtype, self.ndim = (
            canvas,
            (*canvas.size.shape_rc, 3),
            np.dtype("uint8"),
            3,
        )

    def __getitem__(self, index: Any) -> RGB:
        places = [*(index if isinstance(index, tuple) else (index,)), *[slice(None)] * 3][:3]
        (rows, row), (cols, col) = (_span(self.shape[axis], places[axis]) for axis in (0, 1))
        pixels = self.canvas.read(Box(cols.start, rows.start, cols.stop, rows.stop))
        part: RGB = pixels[row, col, places[2]]
        return part


def _span(length: int, index: Any) -> tuple[range, Any]:
    """The px to read along an axis for an index of it, and that index within them."""
    wanted = range(length)[index]
    if isinstance(wanted, int):
        return range(wanted, wanted + 1), 0
    if not wanted:
        return range(0), slice(None)
    return range(min(wanted), max(wanted) + 1), slice(None, None, wanted.step)
