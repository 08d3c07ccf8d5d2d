"""Nuclei as the viewer wants them, whoever wrote them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Color = tuple[int, int, int]
PLAIN: Final[Color] = (200, 0, 0)
"""Of nuclei without a class."""
_NO_ID: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class Batch:
    """Nuclei as ragged arrays in level-0 px of the slide.

    Attributes
    ----------
    ids : ndarray of uint8
        (n, 16) UUIDs; zeros where a nucleus has none.
    xy : ndarray of float64
        (m, 2) vertices (x, y); rings do not repeat their first vertex.
    vertices : ndarray of int64
        (r,) vertices of each ring, negative for a hole, which belongs to the last ring before it that is none.
    rings : ndarray of int64
        (n,) rings of each nucleus.
    values : mapping of str to ndarray
        (n,) measurements by the name that a person reads; NaN where a nucleus lacks one.
    classes : sequence of (str, (R, G, B))
        The class of each nucleus and its colour; "" where it has none.
    """

    ids: NDArray[np.uint8]
    xy: NDArray[np.float64]
    vertices: NDArray[np.int64]
    rings: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]
    classes: Sequence[tuple[str, Color]]

    def __len__(self) -> int:
        return len(self.ids)

    def places(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centroid (x, y) of each nucleus, float64 (n, 2), and its area in px², float64 (n,), without holes.

        What has no area has the mean of its vertices for its centroid.
        """
        ends = np.cumsum(np.abs(self.vertices))
        begins = ends - np.abs(self.vertices)
        corner = self.xy[begins].repeat(np.abs(self.vertices), axis=0)
        x, y = (self.xy - corner).T
        following = np.arange(1, len(self.xy) + 1)
        following[ends - 1] = begins
        cross = x * y[following] - x[following] * y
        terms = (cross, (x + x[following]) * cross, (y + y[following]) * cross, x, y)
        twice, moment_x, moment_y, sum_x, sum_y = (np.add.reduceat(term, begins) for term in terms)
        flat = twice == 0
        divisor = np.where(flat, 1, 3 * twice)
        means = np.column_stack([sum_x, sum_y]) / np.abs(self.vertices)[:, None]
        centroids = np.where(flat[:, None], means, np.column_stack([moment_x, moment_y]) / divisor[:, None])
        centroids += self.xy[begins]
        area = np.abs(twice) / 2 * np.sign(self.vertices)
        first = np.cumsum(self.rings) - self.rings
        total = np.add.reduceat(area, first)
        weight = np.where(total.repeat(self.rings) > 0, area, np.maximum(self.vertices, 1) * 1.0)
        together = np.add.reduceat(centroids * weight[:, None], first)
        return together / np.add.reduceat(weight, first)[:, None], np.maximum(total, 0)


def id_of(spelled: object) -> bytes:
    """The bytes of a UUID; zeros where it is none."""
    try:
        return uuid.UUID(str(spelled)).bytes
    except ValueError:
        return _NO_ID
