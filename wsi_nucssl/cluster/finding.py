"""The tiles that pretraining takes from slides, found by a pool of workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

from wsi_nucssl.cluster.facts import WorkerRefused
from wsi_nucssl.cluster.jobs import Job, Jobs
from wsi_nucssl.cluster.pool import Pool
from wsi_nucssl.cluster.tiling import versions
from wsi_nucssl.cluster.work import appears
from wsi_nucssl.locations import Location, absolute
from wsi_nucssl.pretext.groups import FoundTiles, TileSettings
from wsi_nucssl.runs import stop_requests
from wsi_nucssl.slide import identity, open_slide


def found_on(pool: Pool, slides: Sequence[Location], settings: TileSettings) -> list[FoundTiles]:
    """See `FindTiles`: by the workers of a pool, a slide a task.

    Raises
    ------
    SlideError
        A slide cannot be read, or no worker sees it.
    """
    pool.require_package()
    found: dict[Location, FoundTiles] = {}
    todo = deque(slides)
    with stop_requests() as stop, Jobs(pool, str(slides[0]), stop) as jobs:
        while todo or len(jobs):
            while todo and jobs.has_room:
                slide = todo.popleft()
                arguments = (absolute(slide), identity(slide), settings, versions())
                jobs.submit(Job(find_tiles, arguments, f"the tissue of {slide}"))
            for job, tiles in jobs.ended():
                found[job.arguments[0]] = tiles
    return [found[absolute(slide)] for slide in slides]


def find_tiles(slide: Location, sha256: str, settings: TileSettings, wanted: str) -> FoundTiles:
    """What a worker does: open a slide, find its tissue, and say where the tiles are."""
    if (mine := versions()) != wanted:
        raise WorkerRefused.here(f"would find other tiles: it has {mine} instead of {wanted}")
    if isinstance(slide, Path) and not appears(slide, 5.0):
        raise WorkerRefused.here(f"cannot see {slide}", for_slide=True)
    if identity(slide) != sha256:
        raise WorkerRefused.here(f"sees another file at {slide}", for_slide=True)
    part = settings.part
    with open_slide(
        slide, mpp=settings.slide_mpp, force_mpp=settings.force_mpp, scene=part.scene, focus=part.focus
    ) as opened:
        return FoundTiles.of(opened, settings)
