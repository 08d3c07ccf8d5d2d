"""Pictures of nucleus density: pairs of views as in the paper's Fig. 3, and a heat map of a whole slide."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from wsi_nucssl.captions import ColourBar, Scale, captioned, colours_of
from wsi_nucssl.cohort import OnFailure, for_each_slide, outputs_in
from wsi_nucssl.files import write_atomic
from wsi_nucssl.geometry import Box, Mpp, Point, Size
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.locations import Location, as_text
from wsi_nucssl.models.devices import torch_device
from wsi_nucssl.mpp import GivenMpp
from wsi_nucssl.outputs import check_output
from wsi_nucssl.pictures import png
from wsi_nucssl.pretext.density import density_map
from wsi_nucssl.pretext.model import PretextModel
from wsi_nucssl.pretext.triplets import TripletGeometry, draw_triplet
from wsi_nucssl.pretext.views import cut
from wsi_nucssl.pretext.weights import load_pretext
from wsi_nucssl.probe.density_tiles import write_tiles
from wsi_nucssl.scale_bar import ScaleBar
from wsi_nucssl.slide import RGB, Canvas, Slide, open_slide, tissue_mask
from wsi_nucssl.slide.part import ANY_PART, PartChoice
from wsi_nucssl.slide.resolution import require_detail

CELL_PX: Final = 32
"""Side of one value of a density map, in px of the image."""
_TILE_PX: Final = 1024
_MARGIN_PX: Final = 128
_MIN_TISSUE: Final = 0.1
_GAP_PX: Final = 8
_GLASS: Final = 255
_PICTURE_PX: Final = 1600
"""The longer side of a slide's picture, for a talk."""
_TABLE: Final = colours_of("viridis")
"""Even to the eye, in print and for the colour-blind."""

Density = NDArray[np.float32]


def draw_density(
    run: Path,
    inputs: Sequence[Location],
    directory: Path,
    *,
    slide_mpp: float | None = None,
    force_mpp: bool = False,
    part: PartChoice = ANY_PART,
    pairs: int = 4,
    device: str = "cpu",
    overwrite: bool = False,
    on_picture: Callable[[Path], None],
    on_failure: OnFailure,
) -> None:
    """Write a picture for each input: pairs of views for an image, a heat map for a slide.

    An input that fails is reported, and the others go on.

    Parameters
    ----------
    run : Path
        A pretraining run whose task ranks.
    inputs : Sequence[Path]
        Images and slides.
    directory : Path
        Where NAME_density.png goes; beside that of a slide, NAME_density.npy holds its values, and NAME_density.geojson
        has them as measurements of tiles, which QuPath imports.
    slide_mpp : float, optional
        µm per level-0 px of the slides that do not state it.
    force_mpp : bool
        `slide_mpp` goes before what slides state, and an unusual resolution is not questioned.
    part : PartChoice
        Which scene and focus plane of slides that have several.
    pairs : int
        Positives and negatives drawn from each image.
    device : str
        "cpu" or "cuda".
    overwrite : bool
        Replace pictures that are there.
    on_picture, on_failure : Callable
        Are told of each picture, and of each input that failed.

    Raises
    ------
    UsageError
        Two inputs would give one picture, or there is no such device.
    WeightsError
        The run holds no model, or one that does not rank.
    SomeSlidesFailed
        At the end, naming every input that failed: it cannot be read, a slide does not state its mpp, or its picture is
        there already and `overwrite` is not set. A lone input's own error instead.
    """
    pictures = outputs_in(directory, inputs, "_density.png")
    for picture in pictures.values():
        for output in _outputs(picture):
            check_output(output, inputs=(*inputs, run), may_exist=True)
    given = GivenMpp.parse(slide_mpp, force_mpp, "slide_mpp")
    model, info = load_pretext(run)
    model.to(torch_device(device))

    def draw(path: Location) -> None:
        picture = pictures[path]
        for output in _outputs(picture):
            check_output(output, overwrite=overwrite)
        with open_slide(
            path, mpp=given.um, force_mpp=given.is_forced, scene=part.scene, focus=part.focus
        ) as slide:
            _draw(model, info.mpp, slide, picture, pairs, info.view_px)
        on_picture(picture)

    for_each_slide(inputs, draw, on_failure)


def _outputs(picture: Path) -> tuple[Path, ...]:
    """All that may lie beside a slide's picture, itself included."""
    return picture, picture.with_suffix(".npy"), picture.with_suffix(".geojson")


def _draw(
    model: PretextModel,
    mpp: float,
    slide: Slide,
    picture: Path,
    pairs: int,
    view_px: int,
) -> None:
    if slide.is_plain_image:
        lines = density_pairs(model, Canvas.at_scale(slide, 1.0).read_whole(), view_px, pairs)
        title = f"{as_text(slide.path.name)}: a view with more nuclei and its density, one with fewer and its density"
        drawn = captioned(lines, [_colour_bar_of_pairs()], title)
        for stale in _outputs(picture)[1:]:  # of a slide that was here before
            stale.unlink(missing_ok=True)
    else:
        require_detail(slide, Mpp.square(mpp))
        density = slide_density(model, slide, mpp)
        drawn = heat_map(density, slide, mpp)
        _save_array(picture.with_suffix(".npy"), density)
        write_tiles(picture.with_suffix(".geojson"), density, slide, mpp, CELL_PX)
    write_atomic(picture, png(drawn))


def density_pairs(model: PretextModel, image: RGB, view_px: int, pairs: int, seed: int = 0) -> RGB:
    """Positives and negatives of an image with their density maps, one pair a line: P, its map, N, its map.

    The two maps of a pair share one colour scale, from the smaller of their minima to the larger of their maxima.
    """
    side = min(image.shape[:2])
    tile = torch.from_numpy(np.ascontiguousarray(image[:side, :side])).permute(2, 0, 1).unsqueeze(0)
    lines = []
    for number in range(pairs):
        triplet = draw_triplet(side, TripletGeometry(), np.random.default_rng((seed, number)))
        boxes = torch.tensor([[[b.x0, b.y0, b.x1, b.y1] for b in (triplet.positive, triplet.negative)]])
        turns = torch.zeros(1, 2, dtype=torch.long)
        views = cut(tile, boxes, turns, view_px, triplet.positive.width).byte().permute(0, 2, 3, 1).numpy()
        maps = [density_map(model, view) for view in views]
        low, high = min(float(m.min()) for m in maps), max(float(m.max()) for m in maps)
        cells = [
            cell for view, m in zip(views, maps, strict=True) for cell in (view, overlay(view, m, low, high))
        ]
        lines.append(np.concatenate([np.pad(cell, _pad(), constant_values=_GLASS) for cell in cells], axis=1))
    return np.concatenate(lines)


def overlay(image: RGB, density: Density, low: float, high: float) -> RGB:
    """A density map in colour over its image, uint8 RGB of the image's size; NaN leaves the image as it is."""
    known = np.isfinite(density)
    fraction = (np.where(known, density, low) - low) / max(high - low, 1e-6)
    size = (image.shape[1], image.shape[0])
    smooth = cv2.resize(fraction.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    coloured = _TABLE[np.rint(np.clip(smooth, 0, 1) * (len(_TABLE) - 1)).astype(np.int64)]
    where = cv2.resize(known.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)[..., None] > 0
    blended = cv2.addWeighted(image, 0.3, coloured, 0.7, 0)
    return np.where(where, blended, image).astype(np.uint8)


def slide_density(
    model: PretextModel,
    slide: Slide,
    mpp: float,
    *,
    density_map: Callable[[PretextModel, RGB], Density] = density_map,
) -> Density:
    """Score of each 32 × 32 px of a slide at `mpp`, float32 (row, col); NaN where there is no tissue.

    Tiles are read with a margin that is dropped, so that seams do not show; `density_map` gives the scores of one.
    """
    canvas, mask = Canvas(slide, Mpp.square(mpp)), tissue_mask(slide)
    rows, cols = (-(-length // CELL_PX) for length in canvas.size.shape_rc)
    density = np.full((rows, cols), np.nan, np.float32)
    for tile in TileGrid(canvas.size, Size(_TILE_PX, _TILE_PX), _MARGIN_PX):
        if mask.coverage(canvas.to_level0(tile.core)) < _MIN_TISSUE:
            continue
        scores = density_map(model, canvas.read(tile.read))
        skip = _MARGIN_PX // CELL_PX
        row, col = tile.core.y0 // CELL_PX, tile.core.x0 // CELL_PX
        height, width = (-(-length // CELL_PX) for length in tile.core.size.shape_rc)
        density[row : row + height, col : col + width] = scores[skip : skip + height, skip : skip + width]
    for row, col in np.argwhere(np.isfinite(density)).tolist():
        cell = Box.at(Point(col * CELL_PX, row * CELL_PX), Size(CELL_PX, CELL_PX))
        if mask.coverage(canvas.to_level0(cell)) < _MIN_TISSUE:
            density[row, col] = np.nan
    return density


def heat_map(density: Density, slide: Slide, mpp: float, title: str = "") -> RGB:
    """A slide's density in colour, from the 2nd to the 98th percentile, with title, colour bar and scale bar.

    Parameters
    ----------
    density : ndarray of float32
        (row, col), as `slide_density` gives it.
    slide : Slide
        What it is of.
    mpp : float
        µm per px of the canvas of which 32 × 32 px make a value.
    title : str
        Above the picture; by default the slide's name.
    """
    canvas = Canvas.within(slide, _PICTURE_PX)
    thumbnail = canvas.read_whole()
    um_per_px = canvas.scale_x * (slide.mpp.x if slide.mpp else 1.0)
    cell_px = CELL_PX * mpp / um_per_px
    extent = tuple(max(1, round(side * cell_px)) for side in density.shape)
    padded = np.full(
        (max(extent[0], len(thumbnail)), max(extent[1], thumbnail.shape[1]), 3), _GLASS, np.uint8
    )
    padded[: len(thumbnail), : thumbnail.shape[1]] = thumbnail
    low, high = bounds_of(density)
    part = padded[: extent[0], : extent[1]]
    padded[: extent[0], : extent[1]] = overlay(part, density, low, high)
    tissue = tissue_mask(slide)
    seen = canvas.look_up(tissue.mask, tissue.scale, canvas.box)[..., None]
    drawn = np.where(seen, padded[: len(thumbnail), : thumbnail.shape[1]], thumbnail)
    title = title or f"{as_text(slide.path.name)}: density of nuclei, as the network ranks it"
    bar = Scale(ScaleBar.within(max(drawn.shape[1], 300) / 5, um_per_px))
    return captioned(drawn, [bar, _colour_bar(low, high)], title)


def bounds_of(density: Density) -> tuple[float, float]:
    """The range of the colours: the 2nd and the 98th percentile."""
    known = density[np.isfinite(density)]
    low, high = np.percentile(known, (2, 98)).tolist() if known.size else (0.0, 1.0)
    return low, high


def _colour_bar(low: float, high: float) -> ColourBar:
    return ColourBar(_TABLE, f"{low:.2f}, few nuclei", f"{high:.2f}, many", "score, without unit")


def _colour_bar_of_pairs() -> ColourBar:
    return ColourBar(_TABLE, "few nuclei", "many", "the two maps of a line share a scale")


def _save_array(path: Path, values: Density) -> None:
    buffer = io.BytesIO()
    np.save(buffer, values)
    write_atomic(path, buffer.getvalue())


def _pad() -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    return (0, _GAP_PX), (0, _GAP_PX), (0, 0)
