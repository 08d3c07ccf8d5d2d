"""GeoJSON that QuPath opens: a FeatureCollection of detections, streamed.

Coordinates are level-0 (x, y) on pixel corners, rounded to 2 decimals, because QuPath ≥ 0.6 snaps to 0.01
and rejects a whole file for one invalid polygon. Polygons stay valid under that rounding by construction
(`nuclei.polygons`): it moves grid lines without merging or reordering them, which `CanvasTransform` makes sure
of.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import orjson

from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.features import CanvasTransform, Classification, FeatureFormatter
from wsi_nucssl.files import atomic_path
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.nuclei.table import Nuclei

__all__ = ["SUFFIXES", "CanvasTransform", "Classification", "write_geojson"]

SUFFIXES = (".geojson", ".geojson.gz")
"""File names that `write_geojson` takes."""

_PER_WRITE = 2048
_GZIP_LEVEL = 4


def write_geojson(
    path: Path,
    blocks: Iterable[Nuclei],
    transform: CanvasTransform,
    *,
    mpp: Mpp,
    identity: str,
    header: Mapping[str, object],
    classification: Classification | None = None,
) -> int:
    """Write nuclei as GeoJSON, atomically; the same nuclei give the same bytes. Returns how many there were.

    Parameters
    ----------
    path : ends in `.geojson` or `.geojson.gz`.
    blocks : tables of nuclei, taken one at a time, so that memory does not grow with their number.
    transform : from canvas px to level-0 px.
    mpp : µm per canvas px, for measurements.
    identity : what tells this slide from others; ids are uuid5 of it and the nucleus's place.
    header : provenance (version, model, origin, …), written as the collection's member "wsi_nucssl".
    classification : QuPath's class of every nucleus; "Nucleus", red, by default.

    Raises
    ------
    UsageError : the file name has another ending.
    ResourceError : the disk is full.
    """
    formatter = FeatureFormatter(transform, mpp, identity, classification or Classification())
    count = 0
    with atomic_path(path) as partial, _opened(partial, path) as file:
        file.write(
            b'{"type":"FeatureCollection","wsi_nucssl":' + orjson.dumps(dict(header)) + b',"features":['
        )
        for block in blocks:
            for nuclei in block.slices(_PER_WRITE):
                file.write(b",\n" if count else b"\n")
                file.write(formatter.format(nuclei).data)
                count += len(nuclei)
        file.write(b"\n]}\n")
    return count


@contextmanager
def _opened(partial: Path, path: Path) -> Iterator[BinaryIO]:
    """Open `partial` for writing, compressed if `path` says so; nothing in the bytes depends on name or
    time."""
    if not path.name.endswith(SUFFIXES):
        raise UsageError(
            "the name must end in .geojson or .geojson.gz", path=path, remedy="Choose another name"
        )
    with partial.open("wb") as file:
        if path.suffix != ".gz":
            yield file
            return
        with gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
            yield cast(BinaryIO, packed)
