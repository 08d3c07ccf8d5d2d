"""Where the nuclei are and what shape they have: a hashed, jittered, thinned grid of star-shaped polygons.

Each grid cell proposes one nucleus. It is dropped where a neighbour of higher priority lies too close, and
its outline stops half a pixel before a neighbour's, so that nuclei touch without overlap. Both rules look at
a fixed neighbourhood, so a nucleus is the same whichever part of the slide is asked for.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import numba
import numpy as np
from numpy.typing import NDArray

from sample_slides.anatomy import depth, fibre_angle, gland, lymphoid, solid
from sample_slides.noise import hash01

PITCH = 16.0
VERTICES = 24
REACH = 26.0
"""No nucleus reaches further than this from its centre, in world px."""

NUCLEUS = np.dtype(
    [
        ("x", "f8"),  # centre, world px
        ("y", "f8"),
        ("long", "f8"),  # half axes
        ("short", "f8"),
        ("angle", "f8"),
        ("tone", "f8"),  # haematoxylin density
        ("vesicular", "f8"),  # 1: pale with a dark rim and a nucleolus; 0: evenly dark
        ("priority", "f8"),
        ("key", "i8"),
        (
            "radii",
            "f8",
            (VERTICES,),
        ),  # outline in the frame of the ellipse, where an ellipse is the unit circle
    ]
)
Nucleus: TypeAlias = Any
"""One record of `NUCLEUS`, as compiled code sees it."""

ABSENT, EPITHELIAL, SPINDLE, LYMPHOCYTE = range(4)


@numba.njit(cache=True)
def _kind(x: float, y: float, draw: float, seed: int, width: float, height: float) -> int:
    """Which nucleus, if any, grows at a place."""
    if depth(x, y, seed, width, height) < 0.03:
        return ABSENT
    radius, lumen = gland(x, y, seed)
    if radius < 1.0:
        inner = max(lumen + 0.16, 0.25)
        if radius < inner or radius > 0.93:
            return ABSENT
        return EPITHELIAL if draw < 0.85 else ABSENT
    if radius < 1.12:
        return ABSENT
    if solid(x, y, seed) > 0.6:
        return EPITHELIAL if draw < 0.62 else ABSENT
    if draw < 0.75 * lymphoid(x, y, seed):
        return LYMPHOCYTE
    if draw < 0.05:
        return SPINDLE
    return LYMPHOCYTE if draw > 0.985 else ABSENT


@numba.njit(cache=True)
def _propose(i: int, j: int, seed: int, width: float, height: float, out: Nucleus) -> bool:
    """Fill `out` with the nucleus that cell (i, j) proposes; False if it proposes none."""
    key = seed + 100
    x = (i + hash01(i, j, key)) * PITCH
    y = (j + hash01(i, j, key + 1)) * PITCH
    if x < REACH or y < REACH or x > width - REACH or y > height - REACH:
        return False
    kind = _kind(x, y, hash01(i, j, key + 2), seed, width, height)
    if kind == ABSENT:
        return False
    size, stretch, turn = hash01(i, j, key + 3), hash01(i, j, key + 4), hash01(i, j, key + 5)
    tone, vesicular = hash01(i, j, key + 6), hash01(i, j, key + 7)
    if kind == EPITHELIAL:
        radius, ratio = 8.2 + 5.6 * size, 1.05 + 0.55 * stretch
        angle, tone, vesicular = math.pi * turn, 0.76 + 0.44 * tone, min(1.0, 0.25 + vesicular)
    elif kind == SPINDLE:
        radius, ratio = 6.6 + 2.4 * size, 2.0 + 1.8 * stretch
        angle, tone, vesicular = (
            fibre_angle(x, y, seed) + 0.5 * (turn - 0.5),
            0.75 + 0.4 * tone,
            0.3 * vesicular,
        )
    else:
        radius, ratio = 5.8 + 2.2 * size, 1.0 + 0.25 * stretch
        angle, tone, vesicular = math.pi * turn, 1.0 + 0.35 * tone, 0.15 * vesicular
    out.x, out.y, out.angle, out.tone, out.vesicular = x, y, angle, tone, vesicular
    out.long, out.short = radius * math.sqrt(ratio), radius / math.sqrt(ratio)
    out.priority, out.key = hash01(i, j, key + 8), int(hash01(i, j, key + 9) * 1e6)
    for k in range(VERTICES):
        turn = 2.0 * math.pi * k / VERTICES
        bump = 0.0
        for wave in range(2, 6):
            bump += (hash01(i, j, key + 10 + wave) - 0.5) * math.cos(
                wave * turn + 40.0 * hash01(i, j, key + 20 + wave)
            )
        out.radii[k] = 1.0 + 0.12 * bump
    return True


@numba.njit(cache=True)
def fraction(nucleus: Nucleus, x: float, y: float) -> float:
    """How far out a place lies on the ray from the centre: below 1 inside the outline, 1 on it."""
    dx, dy = x - nucleus.x, y - nucleus.y
    cos, sin = math.cos(nucleus.angle), math.sin(nucleus.angle)
    u, v = (dx * cos + dy * sin) / nucleus.long, (dy * cos - dx * sin) / nucleus.short
    turn = math.atan2(v, u) * (VERTICES / (2.0 * math.pi))
    k = math.floor(turn) % VERTICES
    n = (k + 1) % VERTICES
    step = 2.0 * math.pi / VERTICES
    ax, ay = nucleus.radii[k] * math.cos(k * step), nucleus.radii[k] * math.sin(k * step)
    bx, by = nucleus.radii[n] * math.cos(n * step), nucleus.radii[n] * math.sin(n * step)
    return float((u * (by - ay) - v * (bx - ax)) / (ax * by - ay * bx))


@numba.njit(cache=True)
def _crowded(one: Nucleus, other: Nucleus) -> bool:
    """True if `one` must give way to `other`."""
    near = 0.82 * (math.sqrt(one.long * one.short) + math.sqrt(other.long * other.short))
    distance_2 = (one.x - other.x) ** 2 + (one.y - other.y) ** 2
    return bool(other.priority > one.priority and distance_2 < near * near)


@numba.njit(cache=True)
def _yield_to(one: Nucleus, other: Nucleus, radii: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    """Pull the outline of `one` back to where `other` begins to be nearer, on each ray."""
    if (one.x - other.x) ** 2 + (one.y - other.y) ** 2 > (1.3 * (one.long + other.long)) ** 2:
        return
    cos, sin = math.cos(one.angle), math.sin(one.angle)
    steps = 12
    gap = 0.6 / one.short
    for k in range(VERTICES):
        turn = 2.0 * math.pi * k / VERTICES
        u, v = one.long * math.cos(turn), one.short * math.sin(turn)
        dx, dy = u * cos - v * sin, u * sin + v * cos
        before = 1.0
        for step in range(1, steps + 2):
            t = one.radii[k] * step / steps
            lead = fraction(other, one.x + t * dx, one.y + t * dy) - step / steps
            if lead < 0.0:
                meet = one.radii[k] * (step - 1 + before / (before - lead)) / steps
                radii[k] = min(radii[k], max(meet - gap, 0.12))
                break
            before = lead


@numba.njit(cache=True)
def grow_nuclei(
    x0: float, y0: float, x1: float, y1: float, seed: int, width: float, height: float
) -> NDArray[np.void]:
    """All nuclei whose centre lies in [x0, x1) × [y0, y1), in world px, in raster order of their cells."""
    i0, j0 = math.floor(x0 / PITCH), math.floor(y0 / PITCH)
    cols, rows = math.floor(x1 / PITCH) + 1 - i0, math.floor(y1 / PITCH) + 1 - j0
    halo = 6
    stride = cols + 2 * halo
    count = stride * (rows + 2 * halo)
    grown = np.empty(count, NUCLEUS)
    alive = np.zeros(count, np.bool_)
    for n in range(count):
        alive[n] = _propose(i0 - halo + n % stride, j0 - halo + n // stride, seed, width, height, grown[n])
    kept = alive.copy()
    for n in range(count):
        for other in _around(n, stride, count, 2):
            if kept[n] and alive[other] and _crowded(grown[n], grown[other]):
                kept[n] = False
    out = np.empty(count, NUCLEUS)
    size = 0
    for n in range(count):
        x, y = grown[n].x, grown[n].y
        if not (kept[n] and x0 <= x < x1 and y0 <= y < y1):
            continue
        radii = grown[n].radii.copy()
        for other in _around(n, stride, count, 3):
            if kept[other]:
                _yield_to(grown[n], grown[other], radii)
        out[size] = grown[n]
        out[size].radii[:] = radii
        size += 1
    return out[:size]


@numba.njit(cache=True)
def _around(n: int, stride: int, count: int, reach: int) -> NDArray[np.int64]:
    """Indices of the cells around cell `n`, itself excluded."""
    out = np.empty((2 * reach + 1) ** 2 - 1, np.int64)
    size = 0
    row, col = n // stride, n % stride
    for r in range(max(row - reach, 0), min(row + reach + 1, count // stride)):
        for c in range(max(col - reach, 0), min(col + reach + 1, stride)):
            if r != row or c != col:
                out[size] = r * stride + c
                size += 1
    return out[:size]


def outline(nucleus: Nucleus) -> NDArray[np.float64]:
    """The closed outline of one nucleus, float64 (VERTICES + 1, 2) of (x, y) in world px."""
    turn = 2 * np.pi * np.arange(VERTICES + 1) / VERTICES
    radii = nucleus["radii"][np.arange(VERTICES + 1) % VERTICES]
    u, v = nucleus["long"] * radii * np.cos(turn), nucleus["short"] * radii * np.sin(turn)
    cos, sin = np.cos(nucleus["angle"]), np.sin(nucleus["angle"])
    return np.column_stack([nucleus["x"] + u * cos - v * sin, nucleus["y"] + u * sin + v * cos])
