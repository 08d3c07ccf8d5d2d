"""GeoJSON back in: ours, QuPath's and anybody's, one nucleus at a time."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from wsi_nucssl.annotation_classes import kind_of
from wsi_nucssl.doubts import Doubt
from wsi_nucssl.errors import InputError
from wsi_nucssl.export.extents import Extent, extent_of, skimmed
from wsi_nucssl.export.json_stream import ObjectStream, chunks
from wsi_nucssl.export.objects import NO_NUCLEI, Nucleus, nuclei_of

_OURS: Final = "wsi_nucssl"
_DETECTED: Final = re.compile(
    rb'"object_?[tT]ype"\s*:\s*"(?:detection|cell)"|"id"\s*:\s*"Path(?:Detection|Cell)Object"'
)
_HEADER: Final = re.compile(rb'"wsi_nucssl"\s*:')
_OVERLAP: Final = 256
_FAULTS: Final = (OSError, EOFError, zlib.error, KeyError, TypeError, ValueError, RecursionError)


class NucleiFile:
    """The nuclei of a .geojson or .geojson.gz, read again at each iteration; memory does not grow with their number.

    What is no nucleus is left out: tiles and TMA cores, and annotations where the file has detections or cells. A cell
    is its `nucleusGeometry`. A MultiPolygon or GeometryCollection of anything but a detection or cell is many objects.

    Parameters
    ----------
    path : Path
        The file.
    leave_out : callable, optional
        Whether a Feature is passed over, as if it were not there.

    Attributes
    ----------
    header : dict of str to Any
        The member "wsi_nucssl"; empty in files of other programs.
    doubts : list of Doubt
        What was taken for what, after an iteration.

    Raises
    ------
    InputError
        The file cannot be read, or is no GeoJSON.
    """

    def __init__(self, path: Path, leave_out: Callable[[Mapping[str, Any]], bool] | None = None) -> None:
        self.path = path
        self._leave_out = leave_out
        self.doubts: list[Doubt] = []
        self.header: dict[str, Any] = {}
        try:
            self._has_detections, has_header = self._look()
            if has_header:
                self.header = self._read_header()
        except _FAULTS as error:
            raise self._error(error) from error

    def __iter__(self) -> Iterator[Nucleus]:
        """The nuclei in the order of the file.

        Raises
        ------
        InputError
            A feature is no polygon, or the file is damaged.
        """
        return self._nuclei(None)

    def near(self, box: Extent) -> Iterator[Nucleus]:
        """The nuclei that reach a box (xmin, ymin, xmax, ymax) of the file's px, and maybe others.

        Others are left unparsed: of 500,000 nuclei of a slide a region's are had in seconds. `doubts` are of what was
        parsed.

        Raises
        ------
        InputError
            As in an iteration.
        """
        return self._nuclei(box)

    def extents(self, box: Extent) -> Iterator[tuple[Extent, Mapping[str, Any]]]:
        """The box around each nucleus's outline, and its Feature, of those that reach a box, and maybe others.

        Coordinates are parsed only where they have to be; those of a Feature may be left out. Of 500,000 nuclei of a
        slide all are had in seconds. `doubts` are of these nuclei.

        Raises
        ------
        InputError
            As in an iteration.
        """
        counts: dict[str, int] = {}
        try:
            for index, feature, extent in self._features(box, skims=True):
                kind = kind_of(feature)
                if not self._is_nucleus(feature, kind, counts):
                    continue
                if extent is not None:
                    yield extent, feature
                    continue
                for nucleus in nuclei_of(feature, index, kind, counts):
                    ring = nucleus.rings()[0]
                    (xmin, ymin), (xmax, ymax) = ring.min(axis=0).tolist(), ring.max(axis=0).tolist()
                    yield (xmin, ymin, xmax, ymax), nucleus.feature
        except _FAULTS as error:
            raise self._error(error) from error
        self.doubts = [_DOUBTS[name](count) for name, count in counts.items()]

    def _nuclei(self, box: Extent | None) -> Iterator[Nucleus]:
        counts: dict[str, int] = {}
        try:
            for index, feature, _ in self._features(box):
                kind = kind_of(feature)
                if self._is_nucleus(feature, kind, counts):
                    yield from nuclei_of(feature, index, kind, counts)
        except _FAULTS as error:
            raise self._error(error) from error
        self.doubts = [_DOUBTS[name](count) for name, count in counts.items()]

    def _is_nucleus(self, feature: Mapping[str, Any], kind: str, counts: dict[str, int]) -> bool:
        """False of what is passed over; `counts` is told of what holds nuclei and is none."""
        if self._leave_out and self._leave_out(feature):
            return False
        if kind in NO_NUCLEI or (kind == "annotation" and self._has_detections):
            counts["parents"] = counts.get("parents", 0) + 1
            return False
        return True

    def features(self) -> Iterator[Mapping[str, Any]]:
        """All Features as the file has them, whatever they are.

        Raises
        ------
        InputError
            The file is damaged.
        """
        try:
            for _, feature, _ in self._features(None):
                yield feature
        except _FAULTS as error:
            raise self._error(error) from error

    def _look(self) -> tuple[bool, bool]:
        """Whether there are detections or cells, and whether there is a header of ours, before anything is parsed."""
        detected = headed = False
        before = b""
        for piece in chunks(self.path):
            text = before + piece
            detected = detected or bool(_DETECTED.search(text))
            headed = headed or bool(_HEADER.search(text))
            if detected and headed:
                break
            before = text[-_OVERLAP:]
        return detected, headed

    def _read_header(self) -> dict[str, Any]:
        content = ObjectStream(self.path).read_envelope(_HEADER)
        header = content.get(_OURS, {}) if isinstance(content, dict) else {}
        if not isinstance(header, dict):
            raise TypeError(f"its member {_OURS!r} is no object")
        return header

    def _features(
        self, box: Extent | None, *, skims: bool = False
    ) -> Iterator[tuple[int, Mapping[str, Any], Extent | None]]:
        """The features that may reach the box, each with its number in the file.

        Where `skims`, one that is a nucleus of one polygon comes without coordinates, but with the box around it.
        """
        stream = ObjectStream(self.path)
        for index, text in enumerate(stream.texts()):
            if skims and (found := skimmed(text)) is not None and kind_of(found[1]) != "cell":
                if box is None or not _is_off(found[0], box):
                    yield index, found[1], found[0]
                continue
            if box is not None and _is_off(extent_of(text), box):
                continue
            feature = orjson.loads(text)
            if not isinstance(feature, dict):
                raise TypeError("a feature is no object")
            yield index, feature, None
        content = stream.envelope
        if stream.listed:
            return
        if not isinstance(content, dict) or "type" not in content:
            raise TypeError("it is neither features nor a geometry")
        if content["type"] == "FeatureCollection":
            raise TypeError("its features are no list")
        yield 0, content if content["type"] == "Feature" else {"type": "Feature", "geometry": content}, None

    def _error(self, error: Exception) -> InputError:
        if isinstance(error, FileNotFoundError):
            return InputError("there is no such file", path=self.path, remedy="Check the path")
        return InputError(
            f"not a GeoJSON file of polygons ({error})",
            path=self.path,
            remedy="Export a FeatureCollection of polygons, one a nucleus",
        )


def _is_off(extent: Extent | None, box: Extent) -> bool:
    """True where a known extent does not reach a box."""
    return extent is not None and (
        extent[0] > box[2] or extent[2] < box[0] or extent[1] > box[3] or extent[3] < box[1]
    )


def _parents(count: int) -> Doubt:
    return Doubt(
        "geojson-parents",
        f"{count} annotations, tiles or TMA cores were left out: they hold nuclei and are none",
        "Export detections or cells only",
    )


def _split(count: int) -> Doubt:
    return Doubt(
        "geojson-split",
        f"{count} MultiPolygons or collections were taken for many nuclei, one a part",
        "Export one Polygon a nucleus",
    )


def _cells(count: int) -> Doubt:
    return Doubt(
        "geojson-cells",
        f"{count} cells have no nucleus of their own, so that the cells' outlines were taken",
        "Export cells with their nuclei, or detections",
    )


_DOUBTS: Final = {"parents": _parents, "split": _split, "cells": _cells}
