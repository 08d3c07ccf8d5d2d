"""Seeded noise that is a pure function of place: the same (x, y) gives the same value whoever asks."""

from __future__ import annotations

import math

import numba


@numba.njit(cache=True, inline="always")
def hash01(i: int, j: int, key: int) -> float:
    """A number in [0, 1) that depends on the lattice point (i, j) and the key, and on nothing else."""
    h = i * 0x2545F491_4F6CDD1D + j * 0x1B873593_9E3779B1 + key * 0x4CF5AD43_2745937F
    h = (h ^ ((h >> 29) & 0x7FFFFFFFF)) * 0x3F58476D_1CE4E5B9
    h = (h ^ ((h >> 32) & 0xFFFFFFFF)) * 0x14D049BB_133111EB
    return ((h >> 40) & 0xFFFFFF) / 16777216.0


@numba.njit(cache=True, inline="always")
def noise(x: float, y: float, key: int) -> float:
    """Smooth noise in [0, 1) whose features are about one unit wide (value noise on the integer lattice)."""
    i, j = math.floor(x), math.floor(y)
    u, v = x - i, y - j
    u, v = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v)
    top = hash01(i, j, key) * (1.0 - u) + hash01(i + 1, j, key) * u
    low = hash01(i, j + 1, key) * (1.0 - u) + hash01(i + 1, j + 1, key) * u
    return top * (1.0 - v) + low * v


@numba.njit(cache=True)
def rough_noise(x: float, y: float, key: int) -> float:
    """Three octaves of noise, in [0, 1): large forms with small ones on them."""
    return (
        0.57 * noise(x, y, key)
        + 0.29 * noise(2.03 * x + 17.1, 2.03 * y - 5.3, key + 1)
        + 0.14 * noise(4.1 * x - 3.7, 4.1 * y + 11.9, key + 2)
    )


@numba.njit(cache=True, inline="always")
def ramp(value: float, low: float, high: float) -> float:
    """0 below `low`, 1 above `high`, smooth between; `low` > `high` falls instead."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)
