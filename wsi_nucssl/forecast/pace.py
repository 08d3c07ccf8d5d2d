"""What a window costs on this machine: a few seconds of real work, on blocks drawn from the slides themselves."""

from __future__ import annotations

import contextlib
import math
import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Final

from wsi_nucssl.engines.base import Engine, default_batch_size
from wsi_nucssl.export.base import ExportContext, export
from wsi_nucssl.export.registry import EXPORTERS
from wsi_nucssl.export.transform import CanvasTransform
from wsi_nucssl.files import remove_tree, sha256_tree, write_atomic
from wsi_nucssl.forecast.inventory import Inventory, OpenedSlide
from wsi_nucssl.geometry import Mpp
from wsi_nucssl.grid import Tile
from wsi_nucssl.locations import Location
from wsi_nucssl.runs import run_directory, stop_requests
from wsi_nucssl.segment.executor import SlideProgress, SlideWork
from wsi_nucssl.segment.memory import shares
from wsi_nucssl.segment.plan import Plan
from wsi_nucssl.segment.probabilities import ProbabilityStore

SECONDS: Final = 6.0
"""What is spent on measuring, by default."""
_SLIDES: Final = 4
"""Slides that are drawn from, at most."""
_BLOCKS: Final = 3
"""Of a piece: enough that reading, network and extraction work side by side, as in a run."""
_LEAST_PIECES: Final = 4
_UNKNOWN: Final = 0.5
"""Relative error where a single piece was measured."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some blocks of a slide, done for the sake of measuring.

    Attributes
    ----------
    windows, nuclei : int
        How many.
    seconds, overhead : float
        Wall time, and of it what comes once however many windows there are: until the network begins, and after the
        last nucleus is written.
    run_bytes, output_bytes : int
        Of the run directory and of the outputs.
    """

    windows: int
    nuclei: int
    seconds: float
    overhead: float
    run_bytes: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class Pace:
    """What a window costs, and how well that is known.

    Attributes
    ----------
    seconds : float
        Of a window, from disk to extracted nuclei, with everything working side by side.
    overhead : float
        Seconds of a slide beyond its windows.
    error : float
        Two standard errors of `seconds`, relative.
    spread : float
        Two standard deviations between pieces, relative: the error for a slide that was not drawn from.
    run_bytes, output_bytes, nuclei : float
        Of a window.
    windows, slides : int
        How many were measured, and of how many slides.
    """

    seconds: float = 0.0
    overhead: float = 0.0
    error: float = 0.0
    spread: float = 0.0
    run_bytes: float = 0.0
    output_bytes: float = 0.0
    nuclei: float = 0.0
    windows: int = 0
    slides: int = 0

    @classmethod
    def of(cls, pieces: Sequence[Piece], slides: int = 1) -> Pace:
        """The mean over pieces, each by its windows."""
        windows = sum(piece.windows for piece in pieces)
        if not windows:
            return cls()
        paces = [(piece.windows, (piece.seconds - piece.overhead) / piece.windows) for piece in pieces]
        seconds = sum(count * pace for count, pace in paces) / windows
        variance = sum(count * (pace - seconds) ** 2 for count, pace in paces) / windows
        many = len(pieces)
        spread = 2 * math.sqrt(variance * many / (many - 1)) / seconds if many > 1 else _UNKNOWN
        return cls(
            seconds,
            overhead=sum(piece.overhead for piece in pieces) / many,
            error=spread / math.sqrt(many),
            spread=spread,
            run_bytes=sum(piece.run_bytes for piece in pieces) / windows,
            output_bytes=sum(piece.output_bytes for piece in pieces) / windows,
            nuclei=sum(piece.nuclei for piece in pieces) / windows,
            windows=windows,
            slides=slides,
        )

    def seconds_of(self, windows: int) -> float:
        """What so many windows of a slide take."""
        return self.overhead + windows * self.seconds if windows else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Measured:
    """What calibration found.

    Attributes
    ----------
    overall : Pace
        Over all slides that were drawn from.
    own : mapping of Location to Pace
        Of those slides.
    start_seconds : float
        Until the first window is done, beyond what a window costs: compiling, mostly.
    """

    overall: Pace
    own: Mapping[Location, Pace]
    start_seconds: float = 0.0


def measure(
    inventory: Inventory,
    engine: Engine,
    windows: Mapping[Location, int],
    formats: Sequence[str],
    seconds: float = SECONDS,
) -> Measured:
    """Do some blocks of some slides in a temporary folder, as a run does, and see what they cost.

    Parameters
    ----------
    inventory : Inventory
        Opens slides as the run will.
    engine : Engine
        What predicts.
    windows : mapping of Location to int
        The slides and their windows; those with the most are drawn from, and others between.
    formats : sequence of str
        What is written.
    seconds : float
        How long to measure; one that is begun is ended.
    """
    drawn = _drawn({slide: count for slide, count in windows.items() if count})
    pieces: dict[Location, list[Piece]] = {slide: [] for slide in drawn}
    with contextlib.ExitStack() as stack:
        opened = {
            slide: inventory.cut(stack.enter_context(inventory.opened(slide)), slide) for slide in drawn
        }
        work = _Work(inventory, engine, formats)
        chance = random.Random(0)
        begun = perf_counter()
        first = [
            work.piece(opened[slide], chance) for slide in drawn
        ]  # each compiles and fills caches: not counted
        start = perf_counter() - begun
        begun = perf_counter()
        while drawn and (perf_counter() - begun < seconds or _few(pieces)):
            slide = min(drawn, key=lambda each: sum(piece.seconds for piece in pieces[each]) / windows[each])
            pieces[slide].append(work.piece(opened[slide], chance))
    overall = Pace.of([piece for each in pieces.values() for piece in each], len(drawn))
    compiled = max(0.0, start - overall.seconds * sum(piece.windows for piece in first))
    return Measured(
        overall, {slide: Pace.of(each) for slide, each in pieces.items() if len(each) > 1}, compiled
    )


def _few(pieces: Mapping[Location, Sequence[Piece]]) -> bool:
    return sum(map(len, pieces.values())) < _LEAST_PIECES


def _drawn(windows: Mapping[Location, int]) -> list[Location]:
    """Slides to draw from, evenly from the largest to the smallest."""
    ordered = sorted(windows, key=lambda slide: -windows[slide])
    count = min(_SLIDES, len(ordered))
    return [ordered[index * len(ordered) // count] for index in range(count)]


class _Clock:
    """When a piece began, when its network did, when all was exported, and how long it took to end the run."""

    def __init__(self) -> None:
        self._begun = perf_counter()
        self._filled: float | None = None
        self._seconds = self._ending = 0.0

    def note(self, progress: SlideProgress) -> None:
        """Take the time when the network has begun."""
        if self._filled is None and progress.network_seconds:
            self._filled = perf_counter() - progress.network_seconds

    def worked(self) -> None:
        """Take the time when all is exported."""
        self._seconds = perf_counter() - self._begun

    @contextlib.contextmanager
    def ending(self) -> Iterator[None]:
        """Take the time of what ends a run."""
        begun = perf_counter()
        yield
        self._ending = perf_counter() - begun

    def read(self) -> tuple[float, float]:
        """Seconds in all, and those that come once."""
        filling = 0.0 if self._filled is None else max(0.0, self._filled - self._begun)
        return self._seconds + self._ending, filling + self._ending


def _end(run: Path, outputs: Iterable[Path]) -> None:
    """What a run does at its end: hash the outputs, keep a summary, drop what only served resuming."""
    write_atomic(run / "summary.json", " ".join(map(sha256_tree, outputs)))
    for entry in (*run.glob("*.zarr"), run / "blocks"):
        remove_tree(entry)


@dataclass(frozen=True, slots=True)
class _Work:
    """Does pieces of slides."""

    inventory: Inventory
    engine: Engine
    formats: Sequence[str]

    def piece(self, opened: OpenedSlide, chance: random.Random) -> Piece:
        """Some blocks of a slide, drawn by chance."""
        plan = _part(opened.plan, chance)
        with tempfile.TemporaryDirectory(prefix="wsi-nucssl-plan-") as folder, stop_requests() as stop:
            run, outputs, clock = Path(folder) / "run", _outputs(Path(folder), self.formats), _Clock()
            with run_directory(run, {"kind": "plan"}, resume=False, overwrite=False):
                work, context = self._work(opened, plan, run), _context(opened, plan, self.inventory)
                running = self.inventory.steps.execute(
                    work,
                    SlideProgress(),
                    workers=self.inventory.options.workers,
                    stop=stop,
                    on_progress=clock.note,
                )
                with contextlib.closing(running) as tables:
                    nuclei = export(
                        {path: EXPORTERS.get(name) for path, name in outputs.items()},
                        self.inventory.options.selection.of(tables, context),
                        context,
                    )
                clock.worked()
                sizes = _bytes_of(run), sum(map(_bytes_of, outputs))
                with clock.ending():
                    _end(run, outputs)
            return Piece(len(plan.selected), nuclei, *clock.read(), *sizes)

    def _work(self, opened: OpenedSlide, plan: Plan, run: Path) -> SlideWork:
        info, options = self.inventory.model.info, self.inventory.options
        canvas, tissue = opened.canvas, opened.scope.tissue
        batch = options.batch_size or default_batch_size(self.engine, plan.windows.input_shape)
        return SlideWork(
            canvas=canvas,
            tissue=tissue,
            plan=plan,
            engine=self.engine,
            config=info.instances,
            store=ProbabilityStore.resume(run / "windows.zarr", plan.windows, plan.selected, info.schema),
            blocks=run / "blocks",
            batch_size=batch,
            views=shares(None, options.workers, self.engine, canvas, tissue, plan, info, batch).views,
        )


def _part(plan: Plan, chance: random.Random) -> Plan:
    """A plan of a few blocks, and of the windows in them."""
    blocks = sorted(chance.sample(plan.active, min(_BLOCKS, len(plan.active))), key=lambda b: (b.row, b.col))
    selected = tuple(tile for tile in plan.selected if any(_meet(tile, block) for block in blocks))
    return replace(plan, selected=selected, active=tuple(blocks))


def _meet(tile: Tile, block: Tile) -> bool:
    one, other = tile.core, block.core
    return one.x0 < other.x1 and other.x0 < one.x1 and one.y0 < other.y1 and other.y0 < one.y1


def _context(opened: OpenedSlide, plan: Plan, inventory: Inventory) -> ExportContext:
    info, size = inventory.model.info, opened.slide.dimensions
    transform = CanvasTransform(plan.scale_x, plan.scale_y, 0, 0, size.width, size.height)
    path = opened.slide.path
    return ExportContext(
        transform,
        Mpp.square(info.mpp),
        "plan",
        {},
        types=info.schema.types,
        extent=plan.extent,
        slide=path if isinstance(path, Path) else None,
    )


def _outputs(folder: Path, formats: Sequence[str]) -> dict[Path, str]:
    return {folder / f"piece.{name}": name for name in formats}


def _bytes_of(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path))


def _files(path: Path) -> Iterator[Path]:
    yield from (each for each in (path, *path.rglob("*")) if each.is_file())
