"""What a tile store says about itself: for us, and as OME-Zarr for others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from wsi_nucssl import checks
from wsi_nucssl.geometry import Mpp, Size
from wsi_nucssl.grid import TileGrid
from wsi_nucssl.tiles.codecs import CODECS, CodecName

OME_VERSION: Final = "0.5"
MAX_TILES: Final = 2**24
"""Of a store."""


@dataclass(frozen=True, slots=True)
class StoreMetadata:
    """What a store says about itself.

    Attributes
    ----------
    name : str
        Of the slide.
    size : Size
        Of the whole slide at `mpp`, in px; `grid` cuts it up.
    mpp : Mpp
        µm per px.
    tile_px : int
        Side of a tile.
    min_tissue : float
        A tile is stored if at least this part of it is tissue.
    codec : CodecName
        How tiles are packed.
    provenance : mapping of str to Any
        Slide identity, reader and versions, as JSON.
    """

    name: str
    size: Size
    mpp: Mpp
    tile_px: int
    min_tissue: float
    codec: CodecName
    provenance: Mapping[str, Any]

    @property
    def grid(self) -> TileGrid:
        """The grid whose tiles the store holds."""
        return TileGrid(self.size, Size(self.tile_px, self.tile_px))

    def to_json(self) -> dict[str, Any]:
        """As JSON values; `from_json` reads them back."""
        return {
            "name": self.name,
            "size": [self.size.width, self.size.height],
            "mpp": [self.mpp.x, self.mpp.y],
            "tile_px": self.tile_px,
            "min_tissue": self.min_tissue,
            "codec": self.codec,
            "provenance": dict(self.provenance),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        """The metadata that `to_json` wrote.

        Raises
        ------
        UsageError, ValueError, TypeError, KeyError
            Something is missing, of another type, or out of range.
        """
        found = cls(**{**stored, "size": Size(*stored["size"]), "mpp": Mpp(*stored["mpp"])})
        if not (isinstance(found.name, str) and isinstance(found.provenance, dict)):
            raise TypeError(f"name and provenance are {found.name!r}, {found.provenance!r}")
        for side in (found.size.width, found.size.height):
            checks.whole("size", side, 1, 2**31)
        checks.whole("tile_px", found.tile_px, 16, 16384)
        checks.within("min_tissue", found.min_tissue, 0, 1)
        checks.one_of("codec", found.codec, CODECS)
        if len(found.grid) > MAX_TILES:
            raise ValueError(f"{len(found.grid)} tiles are more than {MAX_TILES}")
        return found


def multiscales(metadata: StoreMetadata) -> dict[str, Any]:
    """OME-Zarr 0.5 metadata of an RGB image with one resolution, in µm."""
    scale = {"type": "scale", "scale": [1.0, metadata.mpp.y, metadata.mpp.x]}
    window = {"min": 0, "max": 255, "start": 0, "end": 255}
    return {
        "version": OME_VERSION,
        "multiscales": [
            {
                "name": metadata.name,
                "axes": [
                    {"name": "c", "type": "channel"},
                    {"name": "y", "type": "space", "unit": "micrometer"},
                    {"name": "x", "type": "space", "unit": "micrometer"},
                ],
                "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
            }
        ],
        "omero": {
            "channels": [
                {"label": label, "color": color, "active": True, "window": window}
                for label, color in (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
            ]
        },
    }
