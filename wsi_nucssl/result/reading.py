"""`read_nuclei`: a GeoJSON file back into a `Result`, ours or another program's."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray

from wsi_nucssl.doubts import warn_of
from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.export.columns import COLUMNS, TRUNCATED, TYPE, TYPE_PROBABILITY
from wsi_nucssl.export.ids import spelled_ids
from wsi_nucssl.export.reading import NucleiFile
from wsi_nucssl.export.stored import ENDINGS, read_stored
from wsi_nucssl.geometry import Box, Mpp, Point
from wsi_nucssl.locations import local
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.result import building
from wsi_nucssl.result.features import ExtractedFeatures, ReadFeatures
from wsi_nucssl.result.outlines import Outlines, bounding_box, polygons_of
from wsi_nucssl.result.picture import SlidePicture
from wsi_nucssl.result.points import NoFeatures, read_points
from wsi_nucssl.result.result import Frame, Result
from wsi_nucssl.slide import Slide, open_slide
from wsi_nucssl.slide.base import require_slide
from wsi_nucssl.slide.part import PartChoice

_GEOJSON = (".geojson", ".geojson.gz")


def read_nuclei(
    path: str | PathLike[str],
    *,
    mpp: Mpp | float | Sequence[float] | None = None,
    slide: str | PathLike[str] | Slide | None = None,
) -> Result:
    """Read a file of nuclei: GeoJSON of this package, of QuPath or of anybody, or another format of this package.

    A file of this package gives back the result that was written: ids, polygons, measurements and resolution. Of other
    programs' files, whatever measurements they hold become columns under their own names, `area_px2` and
    `perimeter_px` are those of the polygons, and µm columns appear where the resolution is known. All is read into
    memory.

    Parameters
    ----------
    path : str or Path
        A .geojson or .geojson.gz file, or a .parquet, .h5ad, .spatialdata.zarr, .ann.dcm or .csv of this package. A
        .csv holds no outlines: `polygons` are points, and what needs outlines says so.
    mpp : Mpp or float or sequence of float, optional
        µm per level-0 px, where neither the file nor `slide` says it.
    slide : str, Path or Slide, optional
        The slide that the nuclei are of: for plots, and for the bounds that the coordinates in QuPath's own files
        count from.

    Returns
    -------
    Result
        In the order of the file.

    Raises
    ------
    InputError
        The file is no GeoJSON and no output of this package with outlines, or a Feature is no polygon.
    UsageError
        `mpp` contradicts what the file says by more than 2 %.

    Examples
    --------
    >>> result = read_nuclei("nuclei.geojson")  # doctest: +SKIP
    >>> result.table.area_um2.median()  # doctest: +SKIP
    """
    path = local(path)
    if path.name.endswith(ENDINGS) and not path.name.endswith(_GEOJSON):
        return _of_stored(path, mpp, slide)
    if path.suffix == ".csv":
        return _of_csv(path, mpp, slide)
    if path.suffix == ".zarr":
        raise InputError(
            "a label image holds no measurements",
            path=path,
            remedy="Give the .geojson or .parquet file beside it",
        )
    nuclei = NucleiFile(path)
    header = nuclei.header
    features = [nucleus.feature for nucleus in nuclei]
    warn_of(nuclei.doubts, path)
    picture, bounds, stated = _of_slide(slide, header)
    try:
        origin = Point.parse(header.get("origin_l0", bounds.origin if bounds and not header else (0, 0)))
        outlines = _outlines(features, origin)
        resolution = _resolution(header.get("slide_mpp"), mpp, stated)
        frame = _frame(header, outlines, bounds, resolution, origin)
        measured = _columns(features) if header else _geometry(outlines, resolution) | _columns(features)
        if header.get("types"):
            own = measured.pop(TYPE_PROBABILITY.qupath, np.full(len(features), np.nan))
            measured |= {TYPE: _types(features), TYPE_PROBABILITY.name: own}
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError) as error:
        raise InputError(
            f"a feature is not a polygon with measurements ({error})", path=path, remedy="Give polygons only"
        ) from error
    return Result(
        ids=np.array([_id(feature, index) for index, feature in enumerate(features)], dtype=np.str_),
        polygons=outlines,
        measurements=measured,
        frame=frame,
        header=header,
        picture=picture,
        _features=ReadFeatures(tuple(features)),
    )


def _of_stored(path: Path, mpp: Any, slide: str | PathLike[str] | Slide | None) -> Result:
    """The result in a table with outlines."""
    context, tables = read_stored(path)
    nuclei = Nuclei.concatenate(tables)
    picture, bounds, stated = _of_slide(slide, context.header)
    origin = Point.parse(cast("Sequence[int]", context.header["origin_l0"]))
    xy = context.transform.level0(nuclei.ring_xy) + np.array([origin.x, origin.y])
    outlines = polygons_of(xy, nuclei.ring_offsets, nuclei.polygon_offsets)
    resolution = _resolution(context.header["slide_mpp"], mpp, stated)
    return Result(
        ids=np.array(spelled_ids(context.ids(nuclei)), dtype=np.str_),
        polygons=outlines,
        measurements=building.measured(nuclei, context),
        frame=_frame(context.header, outlines, bounds, resolution, origin),
        header=context.header,
        picture=picture,
        _features=ExtractedFeatures(nuclei, context),
    )


def _of_csv(path: Path, mpp: Any, slide: str | PathLike[str] | Slide | None) -> Result:
    """Places and measurements without outlines; places count from the slide's bounds, as by default in a run."""
    picture, bounds, stated = _of_slide(slide, {})
    origin = bounds.origin if bounds else Point(0, 0)
    ids, points, measured, said = read_points(path, origin)
    resolution = _resolution(said, mpp, stated)
    known = stated or (None if mpp is None else Mpp.parse(mpp)) or resolution
    return Result(
        ids=ids,
        polygons=points,
        measurements=measured,
        frame=_frame({}, points, None, known, origin),
        header={},
        picture=picture,
        _features=NoFeatures(),
    )


def _of_slide(
    slide: str | PathLike[str] | Slide | None, header: Mapping[str, Any]
) -> tuple[SlidePicture | None, Box | None, Mpp | None]:
    """What lies under the nuclei, the slide's bounds and its resolution, as far as a slide is given."""
    if slide is None:
        return None, None, None
    if isinstance(slide, str | PathLike):
        part = PartChoice.recorded(header)
        with open_slide(slide, scene=part.scene, focus=part.focus) as opened:
            return _of_slide(opened, header)
    slide = require_slide(slide)
    return SlidePicture.of(slide), slide.bounds, slide.mpp


def _resolution(stated: Any, given: Any, of_slide: Mpp | None) -> Mpp | None:
    """µm per level-0 px by the file, else as given, else by the slide."""
    wanted = None if given is None else Mpp.parse(given)
    known = of_slide if stated is None else Mpp.parse(stated, "slide_mpp")
    if wanted and known and abs(wanted.mean / known.mean - 1) > 0.02:
        raise UsageError(
            f"⟨mpp⟩ {wanted} contradicts the {known} µm per px of the file or the slide",
            remedy="Leave ⟨mpp⟩ out",
        )
    return known or wanted


def _frame(
    header: Mapping[str, Any], outlines: Outlines, bounds: Box | None, mpp: Mpp | None, origin: Point
) -> Frame:
    """Where the nuclei lie: as our header says, or on level 0 within the box around them."""
    if "region_l0" in header:
        region = Box.parse(header["region_l0"])
    else:
        region = bounds if bounds and header else bounding_box(outlines)
    scale_x, scale_y = 1.0, 1.0
    if "scale_l0" in header:
        scale_x, scale_y = map(float, header["scale_l0"])
    elif "model_mpp" in header and mpp is not None:
        scale_x, scale_y = header["model_mpp"] / mpp.x, header["model_mpp"] / mpp.y
    return Frame(region, region.in_px_of(scale_x, scale_y), scale_x, scale_y, mpp, origin)


def _outlines(features: Sequence[Mapping[str, Any]], origin: Point) -> Outlines:
    """The geometries in level-0 px, (n,); only polygons and multipolygons."""
    texts = [orjson.dumps(feature["geometry"]).decode() for feature in features]
    shapes: Outlines = np.asarray(shapely.from_geojson(texts), dtype=object)
    return shapes if origin == Point(0, 0) else _moved(shapes, origin)


def _moved(shapes: Outlines, origin: Point) -> Outlines:
    moved: Outlines = shapely.transform(shapes, lambda xy: xy + np.array([origin.x, origin.y]))
    return moved


def _columns(features: Sequence[Mapping[str, Any]]) -> dict[str, NDArray[Any]]:
    """The measurements by column: ours by our names, others by their own; NaN where a nucleus lacks one."""
    rows = [_measurements(feature) for feature in features]
    ours = {column.qupath: column.name for column in COLUMNS}
    names = dict.fromkeys([*ours, *(name for row in rows for name in row if name != TRUNCATED.qupath)])
    columns: dict[str, NDArray[Any]] = {
        ours.get(name, name): np.array([row.get(name, np.nan) for row in rows], np.float64) for name in names
    }
    known = {name: values for name, values in columns.items() if not np.isnan(values).all() or not rows}
    return {**known, TRUNCATED.name: np.array([TRUNCATED.qupath in row for row in rows], np.bool_)}


def _types(features: Sequence[Mapping[str, Any]]) -> NDArray[np.object_]:
    """The class of each nucleus; "" where somebody took it away."""
    found = [(feature.get("properties") or {}).get("classification") or "" for feature in features]
    return np.array([str(each.get("name", "") if isinstance(each, dict) else each) for each in found], object)


def _measurements(feature: Mapping[str, Any]) -> Mapping[str, float]:
    """The measurements of a Feature; older QuPath wrote a list of name and value."""
    found = (feature.get("properties") or {}).get("measurements") or {}
    if isinstance(found, list):
        return {each["name"]: each["value"] for each in found}
    return dict(found)


def _geometry(outlines: Outlines, mpp: Mpp | None) -> dict[str, NDArray[Any]]:
    """Area and perimeter of the polygons themselves."""
    area, perimeter = shapely.area(outlines), shapely.length(outlines)
    columns = {"area_px2": area, "perimeter_px": perimeter}
    if mpp is not None:
        columns |= {"area_um2": area * mpp.x * mpp.y, "perimeter_um": perimeter * mpp.mean}
    return columns


def _id(feature: Mapping[str, Any], index: int) -> str:
    """A Feature's id; one made of its place and geometry where it has none."""
    known = feature.get("id")
    return str(known) if known else str(uuid.uuid5(uuid.NAMESPACE_URL, f"{index} {feature['geometry']}"))
