"""From anatomy and nuclei to pixels: dye densities, Beer-Lambert absorption, a little sensor noise."""

from __future__ import annotations

import math

import numba
import numpy as np
from numpy.typing import NDArray

from sample_slides.anatomy import ACROSS, ALONG, DEPTH, LUMEN, LYMPHOID, RADIUS, SOLID, STAIN, STEP
from sample_slides.noise import hash01, noise, ramp
from sample_slides.nuclei import REACH, Nucleus, fraction

HAEMATOXYLIN = np.array([0.82, 1.00, 0.50])
EOSIN = np.array([0.24, 0.88, 0.46])
"""Absorbance of one unit of each dye in red, green and blue."""

GLASS = 243.0


@numba.njit(cache=True)
def stamp_nuclei(
    nuclei: NDArray[np.void], x0: int, y0: int, scale: float, density: NDArray[np.float32]
) -> None:
    """Write the dye of nuclei into `density` (row, col), top left (x0, y0); where two meet, the more."""
    rows, cols = density.shape
    for index in range(len(nuclei)):
        one = nuclei[index]
        for r in range(
            max(0, int((one.y - REACH) / scale) - y0), min(rows, int((one.y + REACH) / scale) + 2 - y0)
        ):
            for c in range(
                max(0, int((one.x - REACH) / scale) - x0), min(cols, int((one.x + REACH) / scale) + 2 - x0)
            ):
                x, y = (x0 + c + 0.5) * scale, (y0 + r + 0.5) * scale
                far = math.sqrt((x - one.x) ** 2 + (y - one.y) ** 2)
                if far > one.long * 1.35 + 2.0:
                    continue
                part = fraction(one, x, y)
                inside = (1.0 - part) * (far / part if part > 1e-6 else one.short)
                cover = ramp(inside, -1.4, 1.4)
                if cover > 0.0:
                    density[r, c] = max(density[r, c], cover * _chromatin(one, x, y, inside))


@numba.njit(cache=True, inline="always")
def _chromatin(one: Nucleus, x: float, y: float, inside: float) -> float:
    """Haematoxylin density within a nucleus, `inside` px from its outline."""
    clumps = 0.65 * noise(x / 3.9, y / 3.9, one.key) + 0.35 * noise(x / 2.0, y / 2.0, one.key + 1)
    pale = one.vesicular * ramp(inside, 0.5, 3.5)
    value = one.tone * (1.0 - 0.42 * pale + (0.35 + 0.95 * one.vesicular) * (clumps - 0.5))
    nx = one.x + one.short * 0.7 * (noise(0.5, 0.5, one.key + 2) - 0.5)
    ny = one.y + one.short * 0.7 * (noise(0.5, 0.5, one.key + 3) - 0.5)
    spot = ramp(math.sqrt((x - nx) ** 2 + (y - ny) ** 2), 2.8, 1.2)
    return float(value + 0.45 * spot * ramp(one.vesicular, 0.55, 0.9))


@numba.njit(cache=True)
def paint(
    fields: NDArray[np.float64],
    density: NDArray[np.float32],
    x0: int,
    y0: int,
    scale: float,
    seed: int,
    out: NDArray[np.uint8],
) -> None:
    """Colour the box at (x0, y0) into `out` (row, col, 3) from the slow fields and the nuclei's dye."""
    i0, j0 = int((x0 * scale) // STEP), int((y0 * scale) // STEP)
    here = np.empty(fields.shape[2])
    for r in range(out.shape[0]):
        y = (y0 + r + 0.5) * scale
        jf = y / STEP - j0
        j = int(jf)
        v = jf - j
        for c in range(out.shape[1]):
            x = (x0 + c + 0.5) * scale
            fi = x / STEP - i0
            i = int(fi)
            u = fi - i
            for f in range(fields.shape[2]):
                top = fields[j, i, f] * (1.0 - u) + fields[j, i + 1, f] * u
                low = fields[j + 1, i, f] * (1.0 - u) + fields[j + 1, i + 1, f] * u
                here[f] = top * (1.0 - v) + low * v
            haematoxylin, eosin = _dyes(here, x, y, density[r, c], seed)
            grain = 5.0 * (hash01(x0 + c, y0 + r, seed + 71) - 0.5)
            for channel in range(3):
                absorbed = haematoxylin * HAEMATOXYLIN[channel] + eosin * EOSIN[channel]
                value = GLASS * math.exp(-absorbed) + grain
                out[r, c, channel] = int(min(max(value + 0.5, 0.0), 255.0))


@numba.njit(cache=True, inline="always")
def _dyes(here: NDArray[np.float64], x: float, y: float, nucleus: float, seed: int) -> tuple[float, float]:
    """Haematoxylin and eosin at a place."""
    if here[DEPTH] < -0.06:
        return 0.0, 0.008 * noise(x / 60.0, y / 60.0, seed + 81)
    coarse = noise(x / 9.0, y / 9.0, seed + 82)
    fine = noise(x / 2.6, y / 2.6, seed + 83)
    ragged = 0.6 * coarse + 0.4 * fine - 0.5
    tissue = ramp(here[DEPTH] + 0.03 * ragged, -0.004, 0.012)
    fibre = noise(here[ACROSS] / 8.0, here[ALONG] / 70.0, seed + 84)
    strand = 1.0 - abs(2.0 * noise(here[ACROSS] / 4.0, here[ALONG] / 38.0, seed + 85) - 1.0)
    weave = 0.6 * fibre + 0.4 * strand
    eosin = (0.24 + 0.62 * weave) * ramp(weave + 0.25 * ragged, 0.12, 0.36)
    haematoxylin = 0.03 + 0.07 * weave
    inside = max(ramp(here[RADIUS] + 0.06 * ragged, 1.02, 0.98), here[SOLID] * ramp(here[RADIUS], 1.10, 1.16))
    granular = 0.5 * coarse + 0.5 * fine
    eosin += inside * (0.30 + 0.36 * granular - eosin)
    haematoxylin += inside * (0.03 + 0.30 * granular - haematoxylin)
    haematoxylin += 0.18 * here[LYMPHOID] * (1.0 - inside) * coarse
    empty = ramp(here[RADIUS] + 0.10 * ragged, here[LUMEN] + 0.05, here[LUMEN])
    cleft = ramp(abs(here[RADIUS] + 0.05 * ragged - 1.06), 0.045, 0.02) * ramp(coarse, 0.35, 0.55)
    present = tissue * (1.0 - 0.97 * empty) * (1.0 - 0.75 * cleft) * here[STAIN]
    eosin, haematoxylin = eosin * present, haematoxylin * present
    covered = min(1.0, nucleus * 1.6)
    eosin += covered * (0.34 * here[STAIN] - eosin)
    return haematoxylin * (1.0 - covered) + nucleus * here[STAIN], eosin
