"""Nuclei as a file of ours holds them, checked, and as the table that other formats are made of."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.export.transform import COORDINATE_DECIMALS
from wsi_nucssl.nuclei.table import Nuclei

_FARTHEST_PX: Final = 2e7


@dataclass(frozen=True, slots=True)
class Rows:
    """Nuclei as a file has them.

    Attributes
    ----------
    ids : sequence of str
        (n,) UUIDs.
    xy : ndarray of float64
        (m, 2) vertices in the file's px; offsets of rings and polygons are those of `Nuclei`.
    measurements : ndarray of float64
        (n, 9) in the units and the order of `COLUMNS`.
    truncated : ndarray of bool
        (n,).
    types : sequence of str
        (n,) names of types; "" for none.
    type_probability : ndarray of float64
        (n,) of the nucleus's own type.
    """

    ids: Sequence[str]
    xy: NDArray[np.float64]
    ring_offsets: NDArray[np.int64]
    polygon_offsets: NDArray[np.int64]
    measurements: NDArray[np.float64]
    truncated: NDArray[np.bool_]
    types: Sequence[str]
    type_probability: NDArray[np.float64]

    def table(self, types: Sequence[str]) -> Nuclei:
        """As `stored.StoredContext` wants them; `types` are the names of all types.

        Raises
        ------
        ValueError
            They are no nuclei: a number is not finite, a ring is not closed, an id is no UUID.
        """
        self._check()
        count = len(self.ids)
        index = {name: place for place, name in enumerate(types)}
        type_id = np.array([index.get(name, -1) for name in self.types], np.int16)
        probability = np.zeros((count, len(types)), np.float32)
        known = np.flatnonzero(type_id >= 0)
        probability[known, type_id[known]] = self.type_probability[known]
        seeds = np.frombuffer(b"".join(uuid.UUID(each).bytes for each in self.ids), np.int64).reshape(-1, 2)
        return Nuclei(
            seeds,
            np.rint(self.xy * 10**COORDINATE_DECIMALS).astype(np.int32),
            self.ring_offsets,
            self.polygon_offsets,
            cast("NDArray[np.float32]", self.measurements),
            self.truncated,
            type_id,
            probability,
        )

    def _check(self) -> None:
        if not np.isfinite(self.measurements).all():
            raise ValueError("a measurement is no number")
        if not (np.abs(self.xy) < _FARTHEST_PX).all():
            raise ValueError("a vertex lies on no slide")
        closed = self.xy[self.ring_offsets[:-1]] == self.xy[self.ring_offsets[1:] - 1]
        rings, vertices = np.diff(self.polygon_offsets), np.diff(self.ring_offsets)
        if not (closed.all() and (rings >= 1).all() and (vertices >= 4).all()):
            raise ValueError("an outline is not closed")


def offsets_of(lengths: Iterable[int]) -> NDArray[np.int64]:
    """Where items of these lengths begin and end when they lie end to end; int64 (items + 1,)."""
    return np.append(0, np.cumsum([*lengths])).astype(np.int64)
