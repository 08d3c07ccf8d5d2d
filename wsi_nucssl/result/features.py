"""Where the GeoJSON of a result comes from: nuclei of a run, or the Features of a file that was read."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
from numpy.typing import NDArray

from wsi_nucssl.export.base import ExportContext, export
from wsi_nucssl.export.features import FeatureFormatter
from wsi_nucssl.export.geojson import GEOJSON_GZ, geojson_exporter
from wsi_nucssl.files import write_atomic
from wsi_nucssl.nuclei.table import Nuclei


class Features(Protocol):
    """The GeoJSON Features of a result, in its order."""

    def write(self, path: Path, header: Mapping[str, object]) -> None:
        """Write them as a FeatureCollection, atomically."""
        ...

    def as_json(self) -> bytes:
        """All of them as a JSON list."""
        ...

    def take(self, rows: NDArray[np.intp]) -> Features:
        """Those of some rows, in that order."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ExtractedFeatures:
    """Of nuclei, as `segment_slide` writes them.

    Attributes
    ----------
    nuclei : Nuclei
        In canvas px.
    context : ExportContext
        What they stand for.
    """

    nuclei: Nuclei
    context: ExportContext

    def write(self, path: Path, header: Mapping[str, object]) -> None:
        """See `Features.write`."""
        export({path: geojson_exporter(path)}, [self.nuclei], replace(self.context, header=header))

    def as_json(self) -> bytes:
        """See `Features.as_json`."""
        return b"[" + bytes(FeatureFormatter(self.context).format(self.nuclei)) + b"]"

    def take(self, rows: NDArray[np.intp]) -> Features:
        """See `Features.take`."""
        return ExtractedFeatures(_take(self.nuclei, rows), self.context)


@dataclass(frozen=True, slots=True, eq=False)
class ReadFeatures:
    """Of a file, as they were read."""

    features: tuple[Mapping[str, Any], ...]

    def write(self, path: Path, header: Mapping[str, object]) -> None:
        """See `Features.write`."""
        is_packed = geojson_exporter(path) is GEOJSON_GZ
        ours = b'"wsi_nucssl":' + orjson.dumps(dict(header)) + b"," if header else b""
        lines = b",\n".join(orjson.dumps(feature) for feature in self.features)
        text = b'{"type":"FeatureCollection",' + ours + b'"features":[\n' + lines + b"\n]}\n"
        write_atomic(path, gzip.compress(text, mtime=0) if is_packed else text)

    def as_json(self) -> bytes:
        """See `Features.as_json`."""
        return orjson.dumps(self.features)

    def take(self, rows: NDArray[np.intp]) -> Features:
        """See `Features.take`."""
        return ReadFeatures(tuple(self.features[row] for row in rows))


def _take(nuclei: Nuclei, rows: NDArray[np.intp]) -> Nuclei:
    rings, polygon_offsets = _gather(nuclei.polygon_offsets, rows)
    vertices, ring_offsets = _gather(nuclei.ring_offsets, rings)
    return Nuclei(
        nuclei.seed_xy[rows],
        nuclei.ring_xy[vertices],
        ring_offsets,
        polygon_offsets,
        nuclei.measurements[rows],
        nuclei.truncated[rows],
        nuclei.type_id[rows],
        nuclei.type_probability[rows],
    )


def _gather(offsets: NDArray[np.int64], rows: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Of a ragged array the items of some rows, by index, and the offsets that these then have."""
    lengths = np.diff(offsets)[rows]
    taken = np.append(0, np.cumsum(lengths)).astype(np.int64)
    items = np.repeat(offsets[rows] - taken[:-1], lengths) + np.arange(taken[-1])
    return items.astype(np.intp), taken
