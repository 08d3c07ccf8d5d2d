"""Seams that do not show: each block extracts the nuclei it owns, exactly as the whole slide would give them.

**Ownership.** An instance belongs to the block whose core box holds the first raster pixel (its *seed*)
of its marker. Cores partition the canvas, so each instance has one owner. Markers, not foreground
components: in crowded tissue touching nuclei join into components many nuclei wide, markers don't (figures
in docs/seams.md).

**Invariant.** Let a block read a window: its core and a halo, clipped to the extent. Sides of the window
that are not sides of the extent are *open*; d(p) is the number of pixels between p and the nearest open
side. With R = `regrow_px`, m = `min_marker_px` and reach = 2R + max(m − 1, 1): *if the bounding box of a
marker component K keeps d ≥ reach, then its instance is, pixel for pixel, the one that the whole extent
gives.* Proof.

1. A component with d ≥ 1 everywhere is the same component in the extent: whatever could extend it is in the
   window. Only one with a pixel at d = 0 may be *cut*. A cut piece of at least m pixels is kept, and so is
   its whole. A smaller one may be dropped wrongly, but lies within m − 2 of the open side. So window and
   extent agree on what is a marker pixel wherever d ≥ m − 1.
2. The root of a pixel depends on bytes and marker pixels within R steps (`flood.regrow`). So it is right
   where d ≥ R + max(m − 1, 0).
3. K's instance A lies within R steps of K, in the window as in the extent, hence where roots are right; K
   itself is whole. So A is right before holes are filled, its size too, and all of its bounding box has
   right roots.
4. A hole of A is a part of the bounding box. An instance in a hole has its marker there too (a path from
   root to pixel does not cross A), so it is whole and right, and dropped as a speck or not, rightly. So
   holes are filled rightly. ∎

Two pieces of one component never confuse a third party, because roots are pixels, not labels. A component
whose seed lies in the core always shows: the piece that holds the seed has it as its own first pixel.
So a block looks at all components whose first pixel is in its core; while one of them comes closer than
`reach` to an open side, the halo is doubled and the window read again. At `max_halo` it is kept as far as
seen, and flagged `truncated`; everything else is still exact. (Such a piece spans the halo less the reach,
so if `max_halo` ≥ reach + min_marker_px + min_area_px it cannot be dropped as a speck.)

Blocks share nothing but the bytes they read: order, worker count and block size cannot matter.

**Parts.** Where only some nuclei are asked for, by where their seeds lie, a block need not be looked at as a whole:
`core` is then the part of it that holds such seeds, and halos grow around that, for them alone (`Part`). An instance
that keeps `reach` is that of the whole extent whichever window shows it, so it is the one that the whole block gives.
One that never does is, at `max_halo`, seen in the window that the whole block reads: it is cut as it would be there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wsi_nucssl.errors import UsageError
from wsi_nucssl.geometry import Box
from wsi_nucssl.nuclei.instances import LabelImage, Markers, areas, find_markers, grow_instances, relabel
from wsi_nucssl.nuclei.measure import measure
from wsi_nucssl.nuclei.polygons import trace_polygons
from wsi_nucssl.nuclei.settings import InstanceConfig, Probabilities
from wsi_nucssl.nuclei.table import Nuclei
from wsi_nucssl.nuclei.types import type_planes, types_in

Read = Callable[[Box], Probabilities]
"""Reads a box of canvas px, inside the extent, as uint8 (3 + T, row, col)."""


Holds = Callable[[NDArray[np.int64]], NDArray[np.bool_]]
"""Says of seeds, int64 (n, 2) as canvas (x, y), which are asked for; what it says of one depends on that one alone."""


@dataclass(frozen=True, slots=True)
class Part:
    """Which nuclei of a block are asked for.

    Attributes
    ----------
    block : Box
        The whole block, canvas px; the core that is looked at lies in it.
    holds : Holds
        Says which seeds in the core are asked for.
    """

    block: Box
    holds: Holds


def extract_block(
    read: Read,
    core: Box,
    extent: Box,
    config: InstanceConfig,
    *,
    halo: int,
    max_halo: int,
    part: Part | None = None,
) -> Nuclei:
    """The nuclei that the block `core` owns, exactly as extraction of the whole `extent` gives them.

    Parameters
    ----------
    read : Read
        Gives the canvas's bytes; called with a larger box when a nucleus reaches too far.
    core : Box
        The block, canvas px.
    extent : Box
        The whole canvas.
    config : InstanceConfig
        How probabilities become instances.
    halo : int
        px read around the core at first; twice the size of a nucleus is a good value.
    max_halo : int
        px read around the core at most; a nucleus that reaches farther is flagged `truncated`.
    part : Part, optional
        Whose core it is, where not all of a block's nuclei are asked for.

    Raises
    ------
    UsageError
        The core leaves the extent, or the halos are out of order or too small for `config`.
    """
    _check(core, extent, config, halo, max_halo)
    while True:
        around = part.block if part and halo == max_halo else core
        window = around.grow(halo).clip(extent)
        probabilities = read(window)
        markers = find_markers(probabilities, config)
        owned = _seeded_in(markers, core.relative_to(window.origin))
        if part:
            owned[owned] = part.holds(markers.seed_rc[owned][:, ::-1] + np.array([window.x0, window.y0]))
        settled = _settled(markers, window, extent, config.reach_px)
        if halo == max_halo or bool(settled[owned].all()):
            break
        halo = min(2 * halo, max_halo)
        del probabilities, markers  # not to be held beside those of the larger window
    seed_rc, truncated = markers.seed_rc, ~settled
    labels = grow_instances(markers, probabilities, config)
    kept = _keep(labels, owned)
    return _describe(labels, probabilities, seed_rc[kept][:, ::-1], truncated[kept], window)


def extract_nuclei(probabilities: Probabilities, config: InstanceConfig) -> Nuclei:
    """The nuclei of a whole image, uint8 (3 + T, row, col), as one block."""
    extent = Box(0, 0, probabilities.shape[2], probabilities.shape[1])
    return extract_block(
        lambda box: probabilities[:, *box.rc],
        extent,
        extent,
        config,
        halo=0,
        max_halo=_least_max_halo(config),
    )


def _check(core: Box, extent: Box, config: InstanceConfig, halo: int, max_halo: int) -> None:
    if core.is_empty or not extent.contains(core):
        raise UsageError(f"the block {core} is empty or leaves the canvas {extent}")
    least = _least_max_halo(config)
    if max_halo < least:
        raise UsageError(
            f"a largest halo of {max_halo} px is too small for these instances",
            remedy=f"Give at least {least} px, or lower regrow_px, min_marker_px or min_area_px",
        )
    if not (0 < halo <= max_halo or core == extent):
        raise UsageError(f"the halo must lie in 1 … {max_halo} px, not {halo}")


def _least_max_halo(config: InstanceConfig) -> int:
    return config.reach_px + config.min_marker_px + config.min_area_px


def _seeded_in(markers: Markers, core: Box) -> NDArray[np.bool_]:
    row, col = markers.seed_rc.T
    inside: NDArray[np.bool_] = (row >= core.y0) & (row < core.y1) & (col >= core.x0) & (col < core.x1)
    return inside


def _settled(markers: Markers, window: Box, extent: Box, reach: int) -> NDArray[np.bool_]:
    """True for each marker whose bounding box keeps `reach` px from every open side of the window."""
    row0, col0, row1, col1 = markers.box.T
    settled: NDArray[np.bool_] = (
        ((row0 >= reach) | (window.y0 == extent.y0))
        & ((col0 >= reach) | (window.x0 == extent.x0))
        & ((row1 <= window.height - reach) | (window.y1 == extent.y1))
        & ((col1 <= window.width - reach) | (window.x1 == extent.x1))
    )
    return settled


def _keep(labels: LabelImage, owned: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Number the surviving owned instances 1 … n, remove the rest, in place; their marker indices."""
    kept = np.flatnonzero((areas(labels, len(owned) + 1)[1:] > 0) & owned)
    numbers = np.zeros(len(owned) + 1, np.int32)
    numbers[kept + 1] = np.arange(1, len(kept) + 1, dtype=np.int32)
    relabel(labels, numbers)
    return kept


def _describe(
    labels: LabelImage,
    probabilities: Probabilities,
    seed_xy: NDArray[np.int64],
    truncated: NDArray[np.bool_],
    window: Box,
) -> Nuclei:
    polygons = trace_polygons(labels, len(seed_xy))
    measurements = measure(labels, probabilities, polygons, seed_xy)
    shift = np.array([window.x0, window.y0])
    return Nuclei(
        seed_xy + shift,
        polygons.ring_xy + shift.astype(np.int32),
        polygons.ring_offsets,
        polygons.polygon_offsets,
        measurements,
        truncated,
        *types_in(labels, type_planes(probabilities), len(seed_xy)),
    )
