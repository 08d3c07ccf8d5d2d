"""What tissue lies where: sections on glass, glands with a lumen, solid nests, lymphoid aggregates, fibres.

Places are in µm × 4, that is, in pixels of a 0.25 mpp slide whatever the slide's own mpp ("world" px).
"""

from __future__ import annotations

import math

import numba
import numpy as np

from sample_slides.noise import hash01, noise, ramp, rough_noise

GLAND_PITCH = 270.0
STEP = 8
"""World px between the lattice points where the slowly varying fields are computed."""

FIELDS = 8
DEPTH, RADIUS, LUMEN, ACROSS, ALONG, SOLID, LYMPHOID, STAIN = range(FIELDS)


@numba.njit(cache=True)
def depth(x: float, y: float, seed: int, width: float, height: float) -> float:
    """How deep inside the tissue a place lies: positive in tissue, negative on glass."""
    unit = min(width, height)
    wobble = 0.9 * (rough_noise(3.1 * x / unit, 3.1 * y / unit, seed + 11) - 0.5)
    wobble += 0.16 * (rough_noise(x / 190.0, y / 190.0, seed + 14) - 0.5) * min(1.0, 2400.0 / unit)
    best = -1e9
    sections = max(1, round(width / unit))
    for k in range(sections):
        cx = (k + 0.5 + 0.12 * (hash01(k, 0, seed + 17) - 0.5)) * width / sections
        cy = (0.5 + 0.08 * (hash01(k, 1, seed + 17) - 0.5)) * height
        rx, ry = 0.45 * width / sections, 0.42 * height
        distance = math.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2)
        best = max(best, 1.0 - distance)
    return best + wobble


@numba.njit(cache=True)
def gland(x: float, y: float, seed: int) -> tuple[float, float]:
    """Radius within the nearest gland (0 centre, 1 outer edge, more outside) and its lumen's radius."""
    wx = x + 46.0 * (noise(x / 75.0, y / 75.0, seed + 21) - 0.5)
    wy = y + 46.0 * (noise(x / 75.0, y / 75.0, seed + 22) - 0.5)
    ci, cj = math.floor(wx / GLAND_PITCH), math.floor(wy / GLAND_PITCH)
    best, lumen = 9.0, 0.0
    for i in range(ci - 1, ci + 2):
        for j in range(cj - 1, cj + 2):
            gx = (i + 0.5 + 0.5 * (hash01(i, j, seed + 23) - 0.5)) * GLAND_PITCH
            gy = (j + 0.5 + 0.5 * (hash01(i, j, seed + 24) - 0.5)) * GLAND_PITCH
            if hash01(i, j, seed + 25) > ramp(rough_noise(gx / 1500.0, gy / 1500.0, seed + 26), 0.40, 0.52):
                continue
            angle = 6.2831853 * hash01(i, j, seed + 27)
            size = 75.0 + 70.0 * hash01(i, j, seed + 28)
            stretch = 1.0 + 0.6 * hash01(i, j, seed + 29)
            dx, dy = wx - gx, wy - gy
            u = (dx * math.cos(angle) + dy * math.sin(angle)) / (size * stretch)
            v = (dy * math.cos(angle) - dx * math.sin(angle)) / size
            radius = math.sqrt(u * u + v * v)
            if radius < best:
                best, lumen = radius, 0.62 * hash01(i, j, seed + 30) - 0.08
    return best, lumen


@numba.njit(cache=True)
def solid(x: float, y: float, seed: int) -> float:
    """1 within a solid nest of tumour cells, 0 outside."""
    nest = ramp(rough_noise(x / 330.0, y / 330.0, seed + 31), 0.5, 0.56)
    return nest * ramp(rough_noise(x / 1700.0, y / 1700.0, seed + 34), 0.50, 0.56)


@numba.njit(cache=True)
def lymphoid(x: float, y: float, seed: int) -> float:
    """1 within an aggregate of lymphocytes, 0 outside."""
    return ramp(rough_noise(x / 420.0, y / 420.0, seed + 41), 0.62, 0.70)


@numba.njit(cache=True)
def fibre_frame(x: float, y: float, seed: int) -> tuple[float, float]:
    """Coordinates (across, along) the collagen fibres, which flow around through the stroma."""
    wx = x + 260.0 * (rough_noise(x / 420.0, y / 420.0, seed + 51) - 0.5)
    wy = y + 260.0 * (rough_noise(x / 420.0, y / 420.0, seed + 54) - 0.5)
    angle = 6.2831853 * hash01(0, 0, seed + 57)
    return wx * math.cos(angle) + wy * math.sin(angle), wy * math.cos(angle) - wx * math.sin(angle)


@numba.njit(cache=True)
def fibre_angle(x: float, y: float, seed: int) -> float:
    """Direction of the fibres at a place, in radians."""
    here = fibre_frame(x, y, seed)[0]
    dx = fibre_frame(x + 2.0, y, seed)[0] - here
    dy = fibre_frame(x, y + 2.0, seed)[0] - here
    return math.atan2(-dx, dy)


@numba.njit(cache=True)
def lattice(
    i0: int, j0: int, cols: int, rows: int, seed: int, width: float, height: float
) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
    """The slow fields at lattice points (i0…, j0…): float64 (row, col, field)."""
    out = np.empty((rows, cols, FIELDS))
    for r in range(rows):
        for c in range(cols):
            x, y = float((i0 + c) * STEP), float((j0 + r) * STEP)
            radius, lumen = gland(x, y, seed)
            across, along = fibre_frame(x, y, seed)
            out[r, c, DEPTH] = depth(x, y, seed, width, height)
            out[r, c, RADIUS] = radius
            out[r, c, LUMEN] = lumen
            out[r, c, ACROSS] = across
            out[r, c, ALONG] = along
            out[r, c, SOLID] = solid(x, y, seed)
            out[r, c, LYMPHOID] = lymphoid(x, y, seed)
            out[r, c, STAIN] = 0.8 + 0.4 * rough_noise(x / 900.0, y / 900.0, seed + 61)
    return out
