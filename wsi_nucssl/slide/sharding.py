"""A batch cut into shards for the jobs of an array: each slide in one, each shard with about as much tissue."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from filelock import FileLock

from wsi_nucssl.errors import UsageError
from wsi_nucssl.files import disk_errors, write_atomic
from wsi_nucssl.locations import Location
from wsi_nucssl.slide.canvas import Canvas
from wsi_nucssl.slide.fill import find_fill
from wsi_nucssl.slide.opening import open_slide
from wsi_nucssl.slide.tissue_methods import DEFAULT_TISSUE, TISSUES
from wsi_nucssl.slide_list import ListedSlide

_MEMORY: Final = ".batch.tissue.json"
_LOCK: Final = ".batch.tissue.lock"
_SIDE_PX: Final = 512
_MOST_PX: Final = 1 << 24
"""A slide whose coarsest level has more is not read for an estimate."""
_USUAL_PART: Final = 0.3
_USUAL_UM: Final = 0.25
"""What is taken for the part that is tissue, and for the resolution, where they are unknown: of an estimate only."""
_OVERHEAD_MM2: Final = 0.1
"""What any slide costs, in mm² of tissue."""
_READERS: Final = 4

_File = tuple[int, int]
"""Size in bytes and time of the last change in ns: an estimate is remembered as long as they stay."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The `index`-th of `count` parts of a batch, counted from 1."""

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise _no_shard(f"{self.index}/{self.count}")

    @classmethod
    def parse(cls, text: str | Shard) -> Shard:
        """The shard that `2/8` stands for.

        Raises
        ------
        UsageError
            It is none.
        """
        if isinstance(text, Shard):
            return text
        found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text) if isinstance(text, str) else None
        if found is None:
            raise _no_shard(text)
        return cls(int(found[1]), int(found[2]))


def _no_shard(given: object) -> UsageError:
    return UsageError(
        f"⟨shard⟩ must be such as 2/8, from 1/8 to 8/8, not {given}",
        remedy="Number the jobs of an array from 1, as in --array=1-8",
    )


def assign(weights: Mapping[str, float], count: int) -> dict[str, int]:
    """To which of `count` shards each slide goes, from 1: the heaviest first, each to the shard with least until then.

    It depends on names and weights alone, not on their order. No shard has more than another by more than the heaviest
    slide (Graham, SIAM J. Appl. Math. 17, 1969: https://doi.org/10.1137/0117039).
    """
    loads = [0.0] * count
    shards: dict[str, int] = {}
    for name in sorted(weights, key=lambda name: (-weights[name], name)):
        lightest = min(range(count), key=lambda shard: (loads[shard], shard))
        loads[lightest] += weights[name]
        shards[name] = lightest + 1
    return shards


def split_off(
    slides: Sequence[ListedSlide],
    shard: str | Shard | None,
    folder: Path,
    *,
    reader: str = "auto",
    mpp: float | None = None,
) -> tuple[tuple[ListedSlide, ...], tuple[ListedSlide, ...]]:
    """The slides of a shard, as `in_shard` has them, and those of the others; all and none where there is no shard."""
    if shard is None:
        return tuple(slides), ()
    mine = in_shard(slides, Shard.parse(shard), folder, reader=reader, mpp=mpp)
    own = {each.output for each in mine}
    return mine, tuple(each for each in slides if each.output not in own)


def in_shard(
    slides: Sequence[ListedSlide],
    shard: Shard,
    folder: Path,
    *,
    reader: str = "auto",
    mpp: float | None = None,
) -> tuple[ListedSlide, ...]:
    """The slides of one shard, in their order.

    All jobs have the same shards, whenever they start: these depend on the names of the slides and on their tissue,
    which is estimated once and remembered in the output folder.

    Parameters
    ----------
    slides : sequence of ListedSlide
        All of the batch, each with its output's place.
    shard : Shard
        Which part is wanted.
    folder : Path
        The output folder.
    reader : str
        As in `open_slide`.
    mpp : float, optional
        µm per level-0 px of slides that do not say it.

    Raises
    ------
    OutputError
        The folder takes no files.
    """
    areas = remembered_areas(slides, folder, reader=reader, mpp=mpp)
    shards = assign({name: area + _OVERHEAD_MM2 for name, area in areas.items()}, shard.count)
    return tuple(each for each in slides if shards[each.output] == shard.index)


def remembered_areas(
    slides: Sequence[ListedSlide], folder: Path, *, reader: str = "auto", mpp: float | None = None
) -> dict[str, float]:
    """About how much tissue each slide has, in mm², by its output's place.

    The first process that asks looks at the slides, and others wait for it; what is remembered is never looked at again
    unless the file changes.
    """
    files = {each.output: _file(each.slide) for each in slides}
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK)
        lock.acquire()
    try:
        known = _recall(folder / _MEMORY)
        new = [each for each in slides if known.get(each.output, (None, 0.0))[0] != files[each.output]]
        with ThreadPoolExecutor(_READERS) as pool:
            areas = [*pool.map(lambda each: _estimate(each, reader, mpp), new)]
        if new:
            known |= {each.output: (files[each.output], area) for each, area in zip(new, areas, strict=True)}
            write_atomic(folder / _MEMORY, json.dumps(known, indent=0))
    finally:
        lock.release()
    return {each.output: known[each.output][1] for each in slides}


def estimate_mm2(place: Location, *, reader: str = "auto", mpp: float | None = None) -> float:
    """About how much tissue a slide has, in mm², from a small picture of it.

    Raises
    ------
    SlideError
        It cannot be read.
    """
    with open_slide(place, reader=reader) as slide:
        mean = slide.mpp.mean if slide.mpp else mpp or _USUAL_UM
        canvas = Canvas.within(slide, _SIDE_PX)
        part = _USUAL_PART
        if slide.levels[-1].size.area <= _MOST_PX:
            image = canvas.read_whole()
            part = float(TISSUES.get(DEFAULT_TISSUE)(image, find_fill(image, canvas.scale_x).mask).mean())
        return round(part * slide.dimensions.area * mean**2 / 1e6, 4)


def _estimate(each: ListedSlide, reader: str, mpp: float | None) -> float:
    try:
        return estimate_mm2(each.slide, reader=reader, mpp=each.mpp or mpp)
    except Exception:  # whatever ails a slide is said when its turn comes
        return 0.0


def _file(place: Location) -> _File:
    try:
        status = place.stat() if isinstance(place, Path) else None
    except OSError:
        status = None
    return (-1, 0) if status is None else (status.st_size, status.st_mtime_ns)


def _recall(memory: Path) -> dict[str, tuple[_File, float]]:
    """What is remembered; nothing if it is absent or damaged."""
    try:
        kept = json.loads(memory.read_text())
        return {name: ((int(size), int(time)), float(area)) for name, ((size, time), area) in kept.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
