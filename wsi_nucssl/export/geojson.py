"""GeoJSON that QuPath opens: a FeatureCollection of detections, streamed.

Coordinates are level-0 (x, y) on pixel corners, rounded to 2 decimals, because QuPath ≥ 0.6 snaps to 0.01
and rejects a whole file for one invalid polygon. Polygons stay valid under that rounding by construction
(`nuclei.polygons`): it moves grid lines without merging or reordering them, which `CanvasTransform` makes sure
of.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Final, cast

import orjson

from wsi_nucssl.errors import UsageError
from wsi_nucssl.export.base import Classification, ExportContext, Exporter, WriteNuclei, export
from wsi_nucssl.export.features import FeatureFormatter
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.locations import local
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.schema import NucleusType

__all__ = ["GEOJSON", "GEOJSON_GZ", "CanvasTransform", "Classification", "write_geojson"]

_PER_WRITE: Final = 2048
_GZIP_LEVEL: Final = 4

OpenFile = Callable[[Path], AbstractContextManager[BinaryIO]]


@contextmanager
def _open_collection(open_file: OpenFile, path: Path, context: ExportContext) -> Iterator[WriteNuclei]:
    """A FeatureCollection with the header as its member "wsi_nucssl"."""
    formatter = FeatureFormatter(context)
    separator = b"\n"
    with open_file(path) as file:

        def write(nuclei: Nuclei) -> None:
            nonlocal separator
            for some in nuclei.slices(_PER_WRITE):
                file.write(separator)
                file.write(formatter.format(some).data)
                separator = b",\n"

        header = orjson.dumps(dict(context.header))
        file.write(b'{"type":"FeatureCollection","wsi_nucssl":' + header + b',"features":[')
        yield write
        file.write(b"\n]}\n")


def _plain(path: Path) -> AbstractContextManager[BinaryIO]:
    return path.open("wb")


@contextmanager
def _gzipped(path: Path) -> Iterator[BinaryIO]:
    """Nothing in the bytes depends on name or time."""
    with path.open("wb") as file, gzip.GzipFile("", "wb", _GZIP_LEVEL, file, mtime=0) as packed:
        yield cast(BinaryIO, packed)


GEOJSON: Final = Exporter(partial(_open_collection, _plain))
GEOJSON_GZ: Final = Exporter(partial(_open_collection, _gzipped))

_BY_ENDING: Final = {".geojson": GEOJSON, ".geojson.gz": GEOJSON_GZ}


def geojson_exporter(path: Path) -> Exporter:
    """The exporter that the ending of a file's name asks for.

    Raises
    ------
    UsageError
        It has another ending.
    """
    exporter = next((each for ending, each in _BY_ENDING.items() if path.name.endswith(ending)), None)
    if exporter is None:
        raise UsageError(
            f"the name must end in {' or '.join(_BY_ENDING)}", path=path, remedy="Choose another name"
        )
    return exporter


def write_geojson(
    path: str | PathLike[str],
    blocks: Iterable[Nuclei],
    transform: CanvasTransform,
    *,
    mpp: Mpp,
    identity: str,
    header: Mapping[str, object],
    classification: Classification | None = None,
    types: tuple[NucleusType, ...] = (),
) -> int:
    """Write nuclei as GeoJSON, atomically; the same nuclei give the same bytes. Returns how many there were.

    Parameters
    ----------
    path : str or Path
        Ends in `.geojson` or `.geojson.gz`.
    blocks : iterable of Nuclei
        Tables of nuclei, taken one at a time, so that memory does not grow with their number.
    transform : CanvasTransform
        From canvas px to level-0 px.
    mpp : Mpp
        µm per canvas px, for measurements.
    identity : str
        What tells this slide from others; ids are uuid5 of it and the nucleus's place.
    header : mapping of str to object
        Provenance (version, model, origin, …), written as the collection's member "wsi_nucssl".
    classification : Classification, optional
        QuPath's class of every nucleus without a type; "Nucleus", red, by default.
    types : tuple of NucleusType
        Types of nuclei, in the order of `Nuclei.type_id`: each is a class of QuPath's.

    Raises
    ------
    UsageError
        The file name has another ending.
    ResourceError
        The disk is full.
    """
    context = ExportContext(transform, mpp, identity, header, classification or Classification(), types)
    path = local(path)
    return export({path: geojson_exporter(path)}, blocks, context)
