"""How much memory each part of a run may take: so much as one slide's windows need, or what a bound leaves.

Nothing here grows with a slide or its nuclei. What a run holds is what its process holds before it begins, the engine
above all; the windows under way; the views of blocks that nuclei are being extracted from; and two caches, which only
spare time: windows of probabilities, and decoded tiles of the slide. Under a bound the first is measured; what is under
way is counted, with as many workers as fit; and the caches get a part of what is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np

from wsi_nucssl.engines.base import Engine
from wsi_nucssl.errors import SlideError, UsageError
from wsi_nucssl.geometry import Box
from wsi_nucssl.memory import Allowance, give_back, most_resident, spelled_bytes
from wsi_nucssl.models.info import ModelInfo
from wsi_nucssl.nuclei.seams import extract_nuclei
from wsi_nucssl.nuclei.settings import Probabilities
from wsi_nucssl.segment.plan import HALO, Plan
from wsi_nucssl.segment.probabilities import RECENT, kept_bytes
from wsi_nucssl.slide import Canvas, TissueMask
from wsi_nucssl.threads import thread_pool

IN_FLIGHT: Final = 3
"""Jobs in flight for each worker: enough that none waits, few enough that memory stays small."""

_VIEW_BYTES: Final = 14
"""A px of a view, beside its planes: labels, background, foreground and markers; `tracemalloc` counts 13.1."""
_MASK_BYTES: Final = 45
"""A px of a tissue mask, while it is found; `tracemalloc` counts 43."""
_WRITING_BYTES: Final = 16 << 20
"""Tables and the text that is made of them."""
_SLACK_BYTES: Final = 16 << 20
_SLACK: Final = 1 / 16
"""Of a bound: what the C library cannot give out again, since it lies in pieces."""
_LEAST_RECENT: Final = 8
_LEAST_TILES: Final = 16 << 20
_TILES: Final = 64 << 20
"""Rows of windows share tiles: those of a slide that is wider than 15,000 px are decoded twice, the others once."""
_VIEWS: Final = 1.5
"""Views at first size that a worker may hold without a bound: larger ones take turns."""


class Views:
    """What blocks read to extract their nuclei, in bounded memory: larger views wait until others are given back.

    Parameters
    ----------
    total : int
        Bytes that all views may take together.
    planes : int
        Planes of probabilities.
    bound : int, optional
        Bytes of the whole process, where a view of more than `total` is an error. Without it, such a view is taken
        alone.
    """

    def __init__(self, total: int, planes: int, bound: int | None = None) -> None:
        self._planes, self._bound = planes, bound
        self._allowance = Allowance(total)

    @contextmanager
    def reader(self, read: Callable[[Box], Probabilities]) -> Iterator[Callable[[Box], Probabilities]]:
        """Gives `read` for one block, which holds one view at a time until the context ends.

        Raises
        ------
        SlideError
            A view does not fit into the bound.
        """
        with self._allowance.share() as take:

            def read_within(box: Box) -> Probabilities:
                wanted = view_bytes(box, self._planes)
                self._check(box, wanted)
                take(wanted)
                return read(box)

            yield read_within

    def _check(self, box: Box, wanted: int) -> None:
        beyond = wanted - self._allowance.total
        if self._bound is not None and beyond > 0:
            raise SlideError(
                f"nuclei hang together so far that {box.width} × {box.height} px have to be held to tell them apart, "
                f"for which ⟨memory⟩ {spelled_bytes(self._bound)} is too little",
                remedy=f"Go on with ⟨resume⟩ and ⟨memory⟩ {spelled_bytes((self._bound + beyond) / (1 - _SLACK))}",
            )


@dataclass(frozen=True, slots=True)
class Shares:
    """What each part of a run may take; it never changes the result.

    Attributes
    ----------
    workers : int
        Threads that read, and as many that extract.
    recent : int
        Windows of probabilities that are remembered.
    tiles : int
        Bytes of decoded tiles that the slide may hold.
    views : Views
        Gives out views of blocks.
    """

    workers: int
    recent: int
    tiles: int
    views: Views


def view_bytes(box: Box, planes: int) -> int:
    """Memory that extraction of a box takes, probabilities included."""
    return box.size.area * (_VIEW_BYTES + planes)


def shares(
    memory: int | None,
    workers: int,
    engine: Engine,
    canvas: Canvas,
    tissue: TissueMask,
    plan: Plan,
    info: ModelInfo,
    batch_size: int,
) -> Shares:
    """Share out the memory of a run.

    Parameters
    ----------
    memory : int or None
        The most that this process may hold, in bytes. Then the engine predicts a batch of nothing in each of its
        streams, so that what it needs is known.
    workers : int
        Threads that are wanted; fewer, where more do not fit.
    engine : Engine
        What predicts.
    canvas : Canvas
        What it sees.
    tissue : TissueMask
        Where there is something to see.
    plan : Plan
        Windows and blocks.
    info : ModelInfo
        What the network answers.
    batch_size : int
        Windows at a time.

    Raises
    ------
    UsageError
        `memory` is too little; the message says how much is needed.
    """
    needs = _Needs.of(engine, canvas, plan, info, batch_size)
    planes = len(info.schema.stored)
    if memory is None:
        return Shares(workers, RECENT, _TILES, Views(int(workers * _VIEWS * needs.view), planes))
    give_back()
    held = most_resident(lambda: _warm_up(engine, plan, info, batch_size))
    give_back()
    base = held + _WRITING_BYTES + _SLACK_BYTES + int(memory * _SLACK)
    least = max(base + needs.work(1) + needs.caches, held + _MASK_BYTES * tissue.mask.size)
    if least > memory:
        raise _too_little(memory, held, least)
    while base + needs.work(workers) + needs.caches > memory:
        workers -= 1
    left = memory - base - needs.work(workers) - needs.caches
    useful = max(RECENT, 4 * plan.windows.cols) - _LEAST_RECENT
    more = min(left // 3 // needs.kept, useful)
    tiles = min(left // 6, _TILES - _LEAST_TILES)
    views = workers * needs.view + left - more * needs.kept - tiles
    return Shares(workers, _LEAST_RECENT + more, _LEAST_TILES + tiles, Views(views, planes, memory))


@dataclass(frozen=True, slots=True)
class _Needs:
    """Bytes that parts of a run take: a window under way, with what the network answered; reading one; a block's first
    view; a window that is kept."""

    window: int
    reading: int
    view: int
    kept: int
    in_network: int

    @classmethod
    def of(cls, engine: Engine, canvas: Canvas, plan: Plan, info: ModelInfo, batch_size: int) -> _Needs:
        grid, planes = plan.windows, len(info.schema.stored)
        pixels = 3 * grid.input_shape.area
        finer = canvas.slide.levels[canvas.level].downsample
        source = pixels * canvas.scale_x * canvas.scale_y / finer**2
        return cls(
            window=pixels + (planes - 1) * grid.shape.area,
            reading=2 * pixels + int(2 * source),
            view=view_bytes(plan.blocks.at(0, 0).core.grow(HALO).clip(plan.box), planes),
            kept=kept_bytes(grid, info.schema),
            in_network=(engine.streams + 1) * batch_size,
        )

    def work(self, workers: int) -> int:
        """What is under way with so many workers."""
        queued = 2 * IN_FLIGHT * workers + self.in_network
        return queued * self.window + workers * (self.reading + max(self.view, 3 * self.kept))

    @property
    def caches(self) -> int:
        """The least that the caches take."""
        return _LEAST_RECENT * self.kept + _LEAST_TILES


def _warm_up(engine: Engine, plan: Plan, info: ModelInfo, batch_size: int) -> None:
    """Take the memory that is taken once: the engine's for a batch in each stream, and that of compiled code."""
    nothing = np.zeros((batch_size, *plan.windows.input_shape.shape_rc, 3), np.uint8)
    with thread_pool(engine.streams) as pool:
        for _ in pool.map(engine.predict, [nothing] * engine.streams):
            pass
    extract_nuclei(np.zeros((len(info.schema.stored), 64, 64), np.uint8), info.instances)


def _too_little(memory: int, held: int, least: int) -> UsageError:
    needed = spelled_bytes(least / (1 - _SLACK))
    return UsageError(
        f"⟨memory⟩ {spelled_bytes(memory)} is too little: {needed} are needed, of which the engine and all that is "
        f"loaded hold {spelled_bytes(held)}",
        remedy=f"Give at least {needed}",
    )
