"""GeoJSON back in: ours, QuPath's and anybody's."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import Any

import orjson

from wsi_nucssl.errors import InputError


def read_geojson(path: Path) -> dict[str, Any]:
    """A .geojson or .geojson.gz as a FeatureCollection with its members; a bare list or one Feature becomes one.

    Raises
    ------
    InputError
        The file cannot be read, or is no GeoJSON of features.
    """
    try:
        data = path.read_bytes()
        content = orjson.loads(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data)
        collection = _as_collection(content)
    except FileNotFoundError as error:
        raise InputError("there is no such file", path=path, remedy="Check the path") from error
    except (OSError, EOFError, zlib.error, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"not a GeoJSON file ({error})", path=path, remedy="Export a FeatureCollection of polygons"
        ) from error
    return collection


def _as_collection(content: Any) -> dict[str, Any]:
    if isinstance(content, list):  # older QuPath exports
        return {"features": content}
    if content["type"] == "Feature":
        return {"features": [content]}
    if not isinstance(content["features"], list):
        raise TypeError("its features are no list")
    collection: dict[str, Any] = content
    return collection
