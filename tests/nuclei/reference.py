"""Instances by plain loops over dictionaries of pixels, written from the definition: slow, independent."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.nuclei.settings import InstanceConfig

Pixel = tuple[int, int]
STEPS = ((-1, 0), (0, -1), (0, 1), (1, 0))


def beside(pixel: Pixel) -> list[Pixel]:
    return [(pixel[0] + row, pixel[1] + col) for row, col in STEPS]


def components(pixels: Iterable[Pixel]) -> list[list[Pixel]]:
    """4-connected components, each sorted, in raster order of their first pixel."""
    left, found = set(pixels), []
    for seed in sorted(left):
        if seed not in left:
            continue
        left.remove(seed)
        component = [seed]
        for pixel in component:
            for other in beside(pixel):
                if other in left:
                    left.remove(other)
                    component.append(other)
        found.append(sorted(component))
    return found


def instances(probabilities: NDArray[np.uint8], config: InstanceConfig) -> dict[Pixel, set[Pixel]]:
    """{first marker pixel: pixels} as (row, col)."""
    body, boundary = probabilities[0].astype(int), probabilities[1].astype(int)
    every = [(int(row), int(col)) for row, col in np.ndindex(body.shape)]
    open_ = {p for p in every if body[p] + boundary[p] >= config.foreground * 255}
    markers = components(p for p in open_ if body[p] >= config.body * 255)
    kept = [marker for marker in markers if len(marker) >= config.min_marker_px]
    seed = _flood({p: p for marker in kept for p in marker}, open_, body, config.regrow_px)
    name = {p: marker[0] for marker in kept for p in marker}
    found: dict[Pixel, set[Pixel]] = {marker[0]: set() for marker in kept}
    for pixel, source in seed.items():
        found[name[source]].add(pixel)
    found = {anchor: pixels for anchor, pixels in found.items() if len(pixels) >= config.min_area_px}
    taken = {pixel: anchor for anchor, pixels in found.items() for pixel in pixels}
    for gap in components(p for p in every if p not in taken):
        within = set(gap)
        around = {taken.get(q) for p in gap for q in beside(p) if q not in within}
        inside = all(0 < r < body.shape[0] - 1 and 0 < c < body.shape[1] - 1 for r, c in gap)
        owner = next(iter(around), None)
        if inside and len(around) == 1 and owner is not None:
            found[owner].update(gap)
    return found


def _flood(
    seed: dict[Pixel, Pixel], open_: set[Pixel], body: NDArray[np.int_], iterations: int
) -> dict[Pixel, Pixel]:
    for _ in range(iterations):
        fresh = {}
        for pixel in open_ - seed.keys():
            reached = [seed[other] for other in beside(pixel) if other in seed]
            if reached:
                fresh[pixel] = min(
                    reached, key=lambda r: ((r[0] - pixel[0]) ** 2 + (r[1] - pixel[1]) ** 2, -body[r])
                )
        seed = seed | fresh
    return seed
