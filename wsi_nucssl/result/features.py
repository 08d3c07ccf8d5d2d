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
        return ExtractedFeatures(self.nuclei.take(rows), self.context)


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
