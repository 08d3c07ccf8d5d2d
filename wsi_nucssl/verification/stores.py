"""Tile stores: every tile is there, and its bytes are those that were written at its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from wsi_nucssl.errors import InputError
from wsi_nucssl.tiles.store import TileStore
from wsi_nucssl.verification.belonging import other_slide
from wsi_nucssl.verification.claims import Claims
from wsi_nucssl.verification.fault import Fault, Verdict

_AGAIN: Final = "Verify with ⟨repair⟩ and ⟨slide⟩, or make the store again with wsi-nucssl tile ⟨overwrite⟩"


def look_at_store(path: Path, claims: Claims) -> Verdict:
    """All that can be said of a tile store."""
    try:
        store = TileStore.open(path, unfinished=True)
    except InputError as error:
        return Verdict(
            path, "tile store", "", (Fault(str(path), "store", error.what, error.remedy or _AGAIN),)
        )
    faults = [
        *_faults(store),
        *other_slide(path, claims, store.metadata.provenance.get("slide"), store.metadata.name),
    ]
    if not faults:
        faults = [*_unfinished(path)]
    return Verdict(path, "tile store", f"{len(store)} tiles of {store.metadata.name}", tuple(faults))


def _faults(store: TileStore) -> Iterator[Fault]:
    for tile in store:
        fault = store.fault(tile)
        if fault:
            yield Fault(str(store.chunk_path(tile)), "tile", f"tile ({tile.row}, {tile.col}) {fault}", _AGAIN)


def _unfinished(path: Path) -> Iterator[Fault]:
    try:
        TileStore.open(path)
    except InputError as error:
        yield Fault(str(path), "unfinished", error.what, error.remedy or _AGAIN)
