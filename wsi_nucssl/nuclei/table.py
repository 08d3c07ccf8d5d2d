"""The table of nuclei: what extraction returns and export reads."""

from __future__ import annotations

import tokenize
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.errors import InputError, UsageError
from wsi_nucssl.files import atomic_path

MEASUREMENTS = (
    "area",
    "perimeter",
    "circularity",
    "major_axis",
    "minor_axis",
    "eccentricity",
    "solidity",
    "probability",
    "hematoxylin_od",
)
"""Columns of `Nuclei.measurements`; lengths in canvas px and the area in px² until export scales them (see
`measure`)."""

_DAMAGE = (
    OSError,
    KeyError,
    ValueError,
    EOFError,
    RuntimeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
)
"""What zipfile and numpy raise at one wrong byte, depending on where it is."""
_PLACE = "place"
_TYPES = frozenset({"type_id", "type_probability"})
"""Arrays that files of nuclei without types lack."""


@dataclass(frozen=True, slots=True, eq=False)
class Nuclei:
    """n nuclei as ragged arrays, in canvas px; those of one block in raster order of their seeds.

    Attributes
    ----------
    seed_xy : ndarray of int64
        int64 (n, 2), the first raster pixel (x, y) of the nucleus's marker: its key on the canvas.
    ring_xy : ndarray of int32
        int32 (m, 2) vertices (x, y) on pixel corners; each ring ends with its first vertex again.
    ring_offsets : ndarray of int64
        int64 (r + 1,), ring i is `ring_xy[ring_offsets[i]:ring_offsets[i + 1]]`.
    polygon_offsets : ndarray of int64
        int64 (n + 1,), the rings of nucleus i likewise: the exterior, then its holes.
    measurements : ndarray of float32
        float32 (n, 9), columns `MEASUREMENTS`.
    truncated : ndarray of bool
        bool (n,), True where the nucleus is larger than extraction was allowed to look.
    type_id : ndarray of int16
        int16 (n,), index of the nucleus's type in the model's schema; −1 where it has no types.
    type_probability : ndarray of float32
        float32 (n, T), P(type) of each type, mean over the nucleus's px; T is 0 where there are none.
    """

    seed_xy: NDArray[np.int64]
    ring_xy: NDArray[np.int32]
    ring_offsets: NDArray[np.int64]
    polygon_offsets: NDArray[np.int64]
    measurements: NDArray[np.float32]
    truncated: NDArray[np.bool_]
    type_id: NDArray[np.int16] = field(default_factory=lambda: np.zeros(0, np.int16))
    type_probability: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def __post_init__(self) -> None:
        if not self.type_probability.size and not self.type_id.size:  # nothing was said of types
            types = self.type_probability.shape[1]
            object.__setattr__(self, "type_id", np.full(len(self), -1, np.int16))
            object.__setattr__(self, "type_probability", np.zeros((len(self), types), np.float32))

    @property
    def types(self) -> int:
        """How many types the model tells apart, T."""
        return int(self.type_probability.shape[1])

    def __len__(self) -> int:
        return len(self.seed_xy)

    @classmethod
    def empty(cls) -> Self:
        """No nuclei."""
        return cls(
            np.zeros((0, 2), np.int64),
            np.zeros((0, 2), np.int32),
            np.zeros(1, np.int64),
            np.zeros(1, np.int64),
            np.zeros((0, len(MEASUREMENTS)), np.float32),
            np.zeros(0, np.bool_),
        )

    @classmethod
    def concatenate(cls, tables: Iterable[Nuclei]) -> Self:
        """The rows of all tables, in the order given.

        Raises
        ------
        UsageError
            They are of models with different numbers of types.
        """
        parts: list[Nuclei] = [cls.empty(), *tables]
        types = {part.types for part in parts if len(part)} or {max(part.types for part in parts)}
        if len(types) > 1:
            raise UsageError(f"nuclei of {' and of '.join(map(str, sorted(types)))} types are not one table")
        known = [part.type_probability for part in parts if len(part)]
        return cls(
            np.concatenate([part.seed_xy for part in parts]),
            np.concatenate([part.ring_xy for part in parts]),
            _chain([part.ring_offsets for part in parts]),
            _chain([part.polygon_offsets for part in parts]),
            np.concatenate([part.measurements for part in parts]),
            np.concatenate([part.truncated for part in parts]),
            np.concatenate([part.type_id for part in parts]),
            np.concatenate([np.zeros((0, *types), np.float32), *known]),
        )

    def rings(self, index: int) -> list[NDArray[np.int32]]:
        """Rings of one nucleus, each int32 (vertices, 2): the exterior, then its holes."""
        first, last = self.polygon_offsets[index], self.polygon_offsets[index + 1]
        ends = self.ring_offsets[first : last + 1]
        return [self.ring_xy[a:b] for a, b in pairwise(ends)]

    def centroids_xy(self) -> NDArray[np.float64]:
        """Centroid (x, y) of each nucleus without its holes, float64 (n, 2) in canvas px from pixel corners.

        The shoelace formula over exteriors and holes, which run in opposite directions; coordinates count from the
        nucleus's first vertex, so that a nucleus far out on a slide loses no digit.
        """
        if not len(self):
            return np.zeros((0, 2))
        first = self.ring_offsets[self.polygon_offsets[:-1]]
        vertices = np.diff(self.ring_offsets[self.polygon_offsets])
        corner = self.ring_xy[first].astype(np.float64)
        x, y = (self.ring_xy - corner.repeat(vertices, axis=0)).T
        next_x, next_y = np.append(x[1:], 0.0), np.append(y[1:], 0.0)
        cross = x * next_y - next_x * y
        cross[self.ring_offsets[1:] - 1] = 0.0  # no edge leads from a ring's last vertex to the next ring
        twice_area, moment_x, moment_y = (
            np.add.reduceat(term, first) for term in (cross, (x + next_x) * cross, (y + next_y) * cross)
        )
        moved: NDArray[np.float64] = np.column_stack([moment_x, moment_y]) / (3 * twice_area[:, None])
        return corner + moved

    def slices(self, size: int) -> Iterator[Nuclei]:
        """The table in runs of at most `size` nuclei; views, not copies, of the large arrays."""
        for first in range(0, len(self), size):
            rows = slice(first, min(first + size, len(self)))
            polygons = self.polygon_offsets[rows.start : rows.stop + 1]
            rings = self.ring_offsets[polygons[0] : polygons[-1] + 1]
            yield Nuclei(
                self.seed_xy[rows],
                self.ring_xy[rings[0] : rings[-1]],
                rings - rings[0],
                polygons - polygons[0],
                self.measurements[rows],
                self.truncated[rows],
                self.type_id[rows],
                self.type_probability[rows],
            )

    def take(self, rows: NDArray[np.intp]) -> Nuclei:
        """The nuclei of some rows, in that order; a copy."""
        rings, polygon_offsets = _gathered(self.polygon_offsets, rows)
        vertices, ring_offsets = _gathered(self.ring_offsets, rings)
        return Nuclei(
            self.seed_xy[rows],
            self.ring_xy[vertices],
            ring_offsets,
            polygon_offsets,
            self.measurements[rows],
            self.truncated[rows],
            self.type_id[rows],
            self.type_probability[rows],
        )

    def save(self, path: Path, place: tuple[int, int] | None = None) -> None:
        """Write the table as .npz, atomically; equal tables give equal bytes.

        `place` is the (row, col) of the block that it is of, which `load` compares.
        """
        arrays = {name: getattr(self, name) for name in _arrays(typed=self.types > 0)}
        if place is not None:
            arrays[_PLACE] = np.array(place)
        with atomic_path(path) as partial, partial.open("wb") as file:
            np.savez(file, **arrays)

    @classmethod
    def load(cls, path: Path, place: tuple[int, int] | None = None) -> Self:
        """Read a table that `save` wrote, of `place` if one is given; one without types, of any version.

        Raises
        ------
        InputError
            The file is absent, damaged, something else or of another place.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                names = _arrays(typed=not _TYPES.isdisjoint(arrays.files))
                if place is not None and tuple(arrays[_PLACE].tolist()) != place:
                    raise ValueError(f"it is not that of block {place}")
                table = cls(**{name: arrays[name] for name in names})
            table._check()
        except _DAMAGE as error:
            raise InputError(
                f"not a table of nuclei ({error})", path=path, remedy="Remove it and run again with ⟨resume⟩"
            ) from error
        return table

    def _check(self) -> None:
        count = len(self)
        sound = (
            self.seed_xy.shape == (count, 2)
            and self.measurements.shape == (count, len(MEASUREMENTS))
            and self.truncated.shape == (count,)
            and self.type_id.shape == (count,)
            and self.type_probability.shape == (count, self.types)
            and bool(((self.type_id >= -1) & (self.type_id < max(self.types, 1))).all())
            and len(self.polygon_offsets) == count + 1
            and _cut(self.polygon_offsets, len(self.ring_offsets) - 1)
            and _cut(self.ring_offsets, len(self.ring_xy))
        )
        if not sound:
            raise ValueError("its arrays do not fit each other")


def _cut(offsets: NDArray[np.integer], length: int) -> bool:
    """Whether offsets cut so many rows into pieces of which none is empty."""
    return bool(offsets[0] == 0 and offsets[-1] == length and (np.diff(offsets) > 0).all())


def _arrays(*, typed: bool = False) -> list[str]:
    """What a file holds of a table."""
    return [each.name for each in fields(Nuclei) if typed or each.name not in _TYPES]


def _chain(offsets: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Offsets of ragged arrays laid end to end."""
    lengths = np.concatenate([np.diff(part) for part in offsets])
    return np.append(0, np.cumsum(lengths)).astype(np.int64)


def _gathered(
    offsets: NDArray[np.int64], rows: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Of a ragged array the items of some rows, by index, and the offsets that these then have."""
    lengths = np.diff(offsets)[rows]
    taken = np.append(0, np.cumsum(lengths)).astype(np.int64)
    items = np.repeat(offsets[rows] - taken[:-1], lengths) + np.arange(taken[-1])
    return items.astype(np.intp), taken
