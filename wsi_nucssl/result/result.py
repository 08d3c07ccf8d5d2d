"""`Result`: the nuclei of a region or a file, as a notebook wants them."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from wsi_nucssl.doubts import Doubt
from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box, Mpp, Point
from wsi_nucssl.locations import local
from wsi_nucssl.outputs import check_output
from wsi_nucssl.result.features import Features
from wsi_nucssl.result.outlines import Outlines, centroids, paint
from wsi_nucssl.result.picture import Picture, SlidePicture
from wsi_nucssl.result.points import are_points, refuse

if TYPE_CHECKING:
    from anndata import AnnData
    from geojson import FeatureCollection
    from geopandas import GeoDataFrame
    from matplotlib.axes import Axes

    from wsi_nucssl.viewer.notebooks import ViewerFrame


@dataclass(frozen=True, slots=True)
class Frame:
    """Where the nuclei of a result lie.

    Attributes
    ----------
    region : Box
        Level-0 box that was looked at, or that holds all nuclei where nobody says.
    labels : Box
        The same in px of the label image.
    scale_x, scale_y : float
        Level-0 px per px of the label image.
    mpp : Mpp or None
        µm per level-0 px.
    origin : Point
        Level-0 point that the coordinates in files count from.
    """

    region: Box
    labels: Box
    scale_x: float
    scale_y: float
    mpp: Mpp | None
    origin: Point


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """Nuclei in memory, from `segment` or `read_nuclei`: row i of the table, polygon i and label i + 1 are one nucleus.

    Coordinates are level-0 px of the slide (px of the image, for an image), (x, y) on pixel corners; those in GeoJSON
    count from `frame.origin`, the slide's bounds where it has any. Values are rounded as in GeoJSON, so that a file
    gives back the same result. Results pickle.

    Attributes
    ----------
    ids : ndarray of str
        (n,) UUIDs, as in GeoJSON.
    polygons : ndarray of shapely.Polygon
        (n,) in level-0 px, along pixel edges; points where a CSV was read.
    measurements : mapping of str to ndarray
        Columns of `table` besides ids and places, with their unit in the name.
    frame : Frame
        Where the nuclei lie, and how level-0 px, µm and px of `labels` go together.
    header : mapping of str to object
        Provenance: model, engine, version, as in GeoJSON.
    picture : Picture or None
        What lies under the nuclei, for plots.
    doubts : tuple of Doubt
        What makes the nuclei doubtful, as far as it was looked for: their size, how many a mm² of tissue holds.

    Examples
    --------
    >>> result = segment("slide.svs", region=(1000, 2000, 1024, 1024))  # doctest: +SKIP
    >>> large = result[result.table.area_um2 > 60]  # doctest: +SKIP
    >>> large.to_geojson("large.geojson")  # doctest: +SKIP
    """

    ids: NDArray[np.str_]
    polygons: Outlines
    measurements: Mapping[str, NDArray[Any]]
    frame: Frame
    header: Mapping[str, Any]
    picture: Picture | None
    _features: Features = field(repr=False)
    doubts: tuple[Doubt, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: Any) -> Result:
        """Some of the nuclei: by a mask, by row numbers or a slice, as pandas and numpy have them.

        A mask that is a pandas Series goes by its index, as in pandas.
        """
        chosen = _chosen(rows, len(self))
        part = replace(
            self,
            ids=self.ids[chosen],
            polygons=self.polygons[chosen],
            measurements={name: values[chosen] for name, values in self.measurements.items()},
            _features=self._features.take(chosen),
        )
        if "table" in vars(self):  # it may hold columns that were added
            vars(part)["table"] = self.table.iloc[chosen].reset_index(drop=True)
        return part

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row a nucleus: id, centroid in px and in µm where the resolution is known, and the measurements.

        The unit is the end of a column's name: `_um`, `_um2`, `_px`; what has none is a ratio, a probability or an
        optical density. It is made once, so that columns that you add stay.
        """
        places = centroids(self.polygons).round(2)
        columns: dict[str, Any] = {"id": self.ids.astype(object)}
        columns |= {f"centroid_{axis}_px": places[:, index] for index, axis in enumerate("xy")}
        if (mpp := self.frame.mpp) is not None:
            um = (places * np.array([mpp.x, mpp.y])).round(4)
            columns |= {f"centroid_{axis}_um": um[:, index] for index, axis in enumerate("xy")}
        return pd.DataFrame({**columns, **self.measurements})

    @property
    def labels(self) -> NDArray[np.int32]:
        """The label image of the region, int32 (row, col) at the mpp that the network answers at; 0 is background.

        Label i + 1 is row i of the table. A nucleus that reaches beyond the region is cut at its edge here.
        """
        if are_points(self.polygons):
            refuse()
        return paint(self.polygons, np.array([self.frame.scale_x, self.frame.scale_y]), self.frame.labels)

    @property
    def features(self) -> FeatureCollection:
        """The nuclei as objects of the package `geojson`, one Feature each; for many nuclei `to_geojson` is faster."""
        import geojson

        return geojson.loads(b'{"type":"FeatureCollection","features":' + self._features.as_json() + b"}")

    def plot(
        self,
        ax: Axes | None = None,
        *,
        color_by: str | None = "auto",
        region: Box | Sequence[int] | None = None,
        picture: bool = True,
        cmap: str | None = None,
    ) -> Axes:
        """Draw the nuclei on the slide, coloured by a column of the table, with colour bar and scale bar.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure by default.
        color_by : str, optional
            A column of numbers, yours included, or "type", in the types' own colours; "auto" is the area, in µm² where
            the resolution is known; None draws outlines of one colour.
        region : Box or sequence of int, optional
            (x, y, width, height) in level-0 px to show; all by default.
        picture : bool
            Draw the slide beneath, where it is known.
        cmap : str, optional
            A colour map of matplotlib; by default viridis without its dark end.

        Returns
        -------
        matplotlib.axes.Axes
            With x and y in level-0 px.

        Raises
        ------
        UsageError
            The table has no such column of numbers, or matplotlib no such colour map.
        """
        from wsi_nucssl.result.plot import draw

        shown = None if region is None else Box.parse(region)
        return draw(self, ax, color_by=color_by, region=shown, picture=picture, cmap=cmap)

    def view(self, *, height: int = 640) -> ViewerFrame:
        """Look at the nuclei on their slide in a notebook: zoom, colour, filter, as `wsi-nucssl view` does.

        The page is served by this process on 127.0.0.1, so the browser has to be on the same machine.

        Parameters
        ----------
        height : int
            Of the frame in px.

        Returns
        -------
        ViewerFrame
            Shows itself at the end of a cell; `url` is its address, `close()` ends it.

        Raises
        ------
        UsageError
            Nobody knows the slide: give it to `read_nuclei`.
        SlideError
            The slide cannot be opened.
        """
        frame: ViewerFrame = import_module("wsi_nucssl.viewer.notebooks").view(self, height=height)
        return frame

    def to_geojson(self, path: str | PathLike[str], *, overwrite: bool = False) -> Path:
        """Write a .geojson or .geojson.gz that QuPath opens, atomically; the Features are those of `segment_slide`.

        Parameters
        ----------
        path : str or Path
            Ends in `.geojson` or `.geojson.gz`.
        overwrite : bool
            Replace a file that is there.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        OutputExists
            It is there already and `overwrite` is not set, or it is the slide.
        UsageError
            The file name has another ending.
        ResourceError
            The disk is full.
        """
        place = local(path)
        inputs = (self.picture.path,) if isinstance(self.picture, SlidePicture) else ()
        check_output(place, inputs=inputs, overwrite=overwrite)
        self._features.write(place, self.header)
        return place

    def to_geopandas(self) -> GeoDataFrame:
        """The table with the polygons as its geometry, in level-0 px.

        Raises
        ------
        UsageError
            The package `geopandas` is not installed.
        """
        from wsi_nucssl.result.conversions import to_geopandas

        return to_geopandas(self)

    def to_anndata(self) -> AnnData:
        """Measurements as `X`, the table as `obs`, centroids in px as `obsm["spatial"]`: what squidpy and scanpy read.

        Where the resolution is known, `obsm["spatial_um"]` has the centroids in µm.

        Raises
        ------
        UsageError
            The package `anndata` is not installed.
        """
        from wsi_nucssl.result.conversions import to_anndata

        return to_anndata(self)

    def __repr__(self) -> str:
        return f"<Result {self._title()}: {self._summary()}>"

    def _repr_html_(self) -> str:
        from wsi_nucssl.result.plot import as_png_uri

        picture = f'<img alt="nuclei" src="{as_png_uri(self)}">'
        doubts = "".join(f"<br><em>{html.escape(str(doubt))}</em>" for doubt in self.doubts)
        rows = self.table.iloc[:5, :7].to_html(index=False, float_format="{:.2f}".format)
        return (
            f"<div><strong>{html.escape(self._title())}</strong><br>{html.escape(self._summary())}{doubts}</div>"
            f'<div style="display:flex;gap:1em;align-items:flex-start">{picture}{rows}</div>'
        )

    def _title(self) -> str:
        return self.picture.name if self.picture else str(self.header.get("slide_name", "nuclei"))

    def _summary(self) -> str:
        count = "1 nucleus" if len(self) == 1 else f"{len(self)} nuclei"
        region = "x={}, y={}, {} × {} level-0 px".format(*self.frame.region.xywh)
        parts = [count, region, f"mpp {self.frame.mpp or 'unknown'}"]
        if "area_um2" in self.measurements and len(self):
            parts.append(f"median area {np.median(self.measurements['area_um2']):.1f} µm²")
        return ", ".join(parts)


def _chosen(rows: Any, count: int) -> NDArray[np.intp]:
    """The row numbers that an index means.

    Raises
    ------
    UsageError
        It is no index of rows.
    IndexError
        There is no such row.
    """
    if isinstance(rows, pd.DataFrame):
        raise UsageError(
            "nuclei are picked by rows, not by a table", remedy="Give its index: result[table.index]"
        )
    if isinstance(rows, str):
        raise UsageError(
            f"nuclei are picked by rows, not by a column such as {rows!r}",
            remedy=f"Columns are in table[{rows!r}]",
        )
    if isinstance(rows, pd.Series):
        if rows.dtype == np.bool_:
            rows = rows.reindex(range(count)) if rows.index.is_unique else rows
        rows = rows.to_numpy()
    if not isinstance(rows, slice):
        mask = np.asarray(rows)
        if mask.dtype == np.object_ or (mask.dtype == np.bool_ and mask.shape != (count,)):
            raise UsageError(
                f"a mask of nuclei says True or False of each of the {count} rows of the table",
                remedy="Make it of this result's own table",
            )
    return np.atleast_1d(np.arange(count)[rows]).astype(np.intp)
